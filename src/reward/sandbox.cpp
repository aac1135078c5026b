#include "reward/sandbox.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <random>
#include <stdexcept>

#include "reward/box_watch.h"
#include "reward/sandbox_boundary.h"

namespace pupil {
namespace {

constexpr int kMaxBoxes = 64;
constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kFileBytes = 16 * kMiB;
constexpr int kOverheadTasks = 3;  // the boundary's own processes

// Runs first inside every box, before anything that nobody trusts: becomes the box's
// user, sets its process limit (inside, where it counts the box alone), greets, and
// then runs the program, whose source stands in front of its input.
constexpr const char* kBootstrap = R"(
import os, resource, sys
user, tasks, greeting = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if user:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
if tasks:
    resource.setrlimit(resource.RLIMIT_NPROC, (tasks, tasks))
def read(count):
    parts = []
    while count > 0:
        part = os.read(0, min(count, 65536))
        if not part: break
        parts.append(part)
        count -= len(part)
    return b''.join(parts)
length = b''
while not length.endswith(b'\n'):
    byte = os.read(0, 1)
    if not byte: raise SystemExit('no program')
    length += byte
source = read(int(length)).decode()
sys.argv[1:] = []
sys.path[:] = [p for p in sys.path if p]
os.write(1, greeting.encode())
exec(compile(source, '<program>', 'exec'), {'__name__': '__main__'})
)";

/// A word that only this box's bootstrap knows, so that nothing else can greet for it.
std::string random_word() {
  std::random_device device;
  char word[40];
  std::snprintf(word, sizeof(word), "box-%08x%08x", device(), device());
  return std::string(word) + "\n";
}

std::vector<ProcessLimit> process_limits(const SandboxConfig& config) {
  const auto memory = static_cast<uint64_t>(config.memory_mb) * kMiB;
  const auto cpu = static_cast<uint64_t>(std::ceil(config.cpu_s));
  std::vector<ProcessLimit> limits = {
      {RLIMIT_CPU, cpu, cpu + 1},  // SIGXCPU, then SIGKILL
      {RLIMIT_FSIZE, kFileBytes, kFileBytes},
      {RLIMIT_NOFILE, 64, 64},
      {RLIMIT_CORE, 0, 0},
      {RLIMIT_STACK, 8 * kMiB, 8 * kMiB}};
#ifdef __linux__
  limits.push_back({RLIMIT_AS, memory, memory});
  limits.push_back({RLIMIT_MEMLOCK, 0, 0});
  limits.push_back({RLIMIT_MSGQUEUE, 0, 0});
#endif
  return limits;
}

}  // namespace

const char* name_of(Boundary boundary) {
  switch (boundary) {
    case Boundary::bubblewrap:
      return "bubblewrap + seccomp";
    case Boundary::landlock:
      return "Landlock + seccomp";
    case Boundary::seatbelt:
      return "Seatbelt";
    case Boundary::none:
      return "none";
  }
  return "";
}

std::vector<std::string> box_environment() {
  return {"PATH=/usr/bin", "HOME=/tmp", "LANG=C.UTF-8", "PYTHONHASHSEED=0"};
}

BoundaryPlan plan_nothing(const Interpreter& interpreter) {
  BoundaryPlan plan{.boundary = Boundary::none};
  plan.confine =
      [path = interpreter.path](
          ProcessOptions& options, const std::vector<std::string>& arguments, BoxUser) {
        options.argv = {path};
        options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
        options.environment = box_environment();
      };
  return plan;
}

/// Numbers the boxes that live, so that each has a user of its own.
class BoxSlots {
 public:
  int take() {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] { return used_ != ~0ull; });
    int slot = 0;
    while (used_ >> slot & 1) ++slot;
    used_ |= 1ull << slot;
    return slot;
  }
  void give_back(int slot) {
    std::lock_guard lock(mutex_);
    used_ &= ~(1ull << slot);
    freed_.notify_one();
  }

 private:
  static_assert(kMaxBoxes == 64);
  std::mutex mutex_;
  std::condition_variable freed_;
  uint64_t used_ = 0;
};

struct Box::Lease {
  Lease(std::shared_ptr<BoxSlots> slots, TreeLimits limits, bool by_session)
      : slots(std::move(slots)), slot(this->slots->take()), watch(limits, by_session) {}
  ~Lease() { slots->give_back(slot); }

  /// Of 61184 to 65407, the range that systemd keeps for such users.
  BoxUser user() const {
    if (::geteuid() != 0) return 0;
    return 61184 + static_cast<BoxUser>(::getpid() % 66) * kMaxBoxes +
           static_cast<BoxUser>(slot);
  }

  std::shared_ptr<BoxSlots> slots;
  int slot;
  BoxWatch watch;
  double cpu_limit_s = 0;
};

Box::Box(ProcessOptions options, std::unique_ptr<Lease> lease, std::string greeting)
    : lease_(std::move(lease)), greeting_(std::move(greeting)) {
  options.watch = [watch = &lease_->watch](pid_t pid) { return watch->check(pid); };
  child_ = std::make_unique<Child>(std::move(options));
}

Box::Box(Box&&) noexcept = default;
Box& Box::operator=(Box&&) noexcept = default;

Box::~Box() {
  if (!child_) return;
  child_.reset();
  lease_->watch.wait_until_empty();
}

bool Box::started() {
  if (!started_ && child_->output().starts_with(greeting_)) {
    child_->output().erase(0, greeting_.size());
    started_ = true;
  }
  return started_;
}

namespace {

ExecutionResult::Outcome classify(
    const ProcessResult& end, const ExecutionResult& result, bool out_of_cpu) {
  using enum ExecutionResult::Outcome;
  if (end.output_exceeded) return output_limit;
  if (end.timed_out || out_of_cpu || end.watch_reason == kOverCpu) return timed_out;
  if (!end.watch_reason.empty()) return out_of_memory;
  return result.exit_code == 0 ? ok : crashed;
}

}  // namespace

ExecutionResult Box::finish() {
  Child* child = child_.get();
  child->kill();
  while (!child->finished()) Child::pump({&child, 1}, 1.0);
  lease_->watch.wait_until_empty();
  const bool reached = started();
  const ProcessResult& end = child->result();
  ExecutionResult result{
      .exit_code = end.exit_code,
      .signal = end.signal,
      .output = end.output,
      .wall_s = end.wall_s,
      .cpu_s = std::max(end.cpu_s, lease_->watch.last().cpu_s)};
  if (result.exit_code > 128) {  // how bubblewrap passes a signal on
    result.signal = std::exchange(result.exit_code, -1) - 128;
  }
  if (!reached) {
    if (!end.start_error.empty()) result.output = end.start_error;
    return result;
  }
  const bool out_of_cpu =
      result.signal == SIGXCPU ||
      (result.signal == SIGKILL && result.cpu_s > 0.9 * lease_->cpu_limit_s);
  result.outcome = classify(end, result, out_of_cpu);
  return result;
}

std::string ExecutionResult::describe() const {
  char text[64];
  switch (outcome) {
    case Outcome::ok:
      return "ended";
    case Outcome::timed_out:
      std::snprintf(text, sizeof(text), "timed out after %.1f s", wall_s);
      return text;
    case Outcome::out_of_memory:
      return "used more memory or processes than it may";
    case Outcome::output_limit:
      return "wrote more than it may";
    case Outcome::infra_error:
      return "the sandbox did not start: " + output;
    case Outcome::crashed:
      break;
  }
  return signal ? "was killed by signal " + std::to_string(signal)
                : "ended with exit code " + std::to_string(exit_code);
}

struct Sandbox::Impl {
  SandboxConfig config;
  BoundaryPlan plan;
  std::string description;
  std::shared_ptr<BoxSlots> slots = std::make_shared<BoxSlots>();
};

namespace {

constexpr std::array kBoundaries = {plan_bubblewrap, plan_landlock, plan_seatbelt};

std::string describe_box(const BoundaryPlan& plan, const Interpreter& interpreter) {
  return std::string(name_of(plan.boundary)) + ", Python " + interpreter.version +
         " (" + interpreter.path + ")";
}

[[noreturn]] void refuse(const std::string& troubles) {
  throw std::runtime_error(
      "[sandbox] no boundary for untrusted programs holds on this machine: " +
      troubles +
      "; install bubblewrap, or allow user namespaces or Landlock (sandbox.unsafe: "
      "true "
      "runs them without any)");
}

}  // namespace

Sandbox::Sandbox(const SandboxConfig& config) : impl_(std::make_unique<Impl>()) {
  impl_->config = config;
  const auto interpreters = find_interpreters();
  if (interpreters.empty()) {
    throw std::runtime_error(
        "[sandbox] found no python3 of version 3.8 or newer on the PATH; install one");
  }
  std::string troubles;
  for (const auto make_plan : kBoundaries) {
    for (const auto& interpreter : interpreters) {
      impl_->plan = make_plan(interpreter);
      impl_->description = describe_box(impl_->plan, interpreter);
      std::string trouble = impl_->plan.missing;
      if (trouble.empty()) trouble = probe(*this);
      if (trouble.empty()) return;
      troubles += (troubles.empty() ? "" : "; ") + impl_->description + ": " + trouble;
    }
  }
  if (!config.unsafe) refuse(troubles);
  impl_->plan = plan_nothing(interpreters[0]);
  impl_->description = describe_box(impl_->plan, interpreters[0]);
}

Sandbox::~Sandbox() = default;

Boundary Sandbox::boundary() const {
  return impl_->plan.boundary;
}
const std::string& Sandbox::description() const {
  return impl_->description;
}
const SandboxConfig& Sandbox::config() const {
  return impl_->config;
}

Box Sandbox::start(const Program& program, bool keep_input_open) const {
  const auto& [config, plan, description, slots] = *impl_;
  const TreeLimits tree{
      static_cast<int64_t>(config.memory_mb * kMiB),
      config.cpu_s,
      config.processes + kOverheadTasks};
  const bool namespaces = plan.boundary == Boundary::bubblewrap;
  auto lease = std::make_unique<Box::Lease>(slots, tree, !namespaces);
  lease->cpu_limit_s = config.cpu_s;
  const BoxUser user = lease->user();
  ProcessOptions options;
  options.input =
      std::to_string(program.source.size()) + "\n" + program.source + program.input;
  options.keep_input_open = keep_input_open;
  options.limits = process_limits(config);
  options.wall_s = config.wall_s;
  options.output_bytes = static_cast<size_t>(config.output_kb) << 10;
  // A box that is not a user or a namespace of its own would count all of our
  // processes.
  const int tasks = namespaces || user ? config.processes + 1 : 0;
  const std::string greeting = random_word();
  plan.confine(
      options,
      {"-s",
       "-S",
       "-B",
       "-c",
       kBootstrap,
       std::to_string(plan.drops_user ? user : 0),
       std::to_string(tasks),
       greeting},
      user);
  return {std::move(options), std::move(lease), greeting};
}

ExecutionResult Sandbox::run(const Program& program) const {
  Box box = start(program);
  Child* child = &box.child();
  while (!child->finished()) Child::pump({&child, 1}, 1.0);
  return box.finish();
}

}  // namespace pupil
