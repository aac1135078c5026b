#include "reward/sandbox.h"

#include <sys/resource.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <mutex>
#include <random>
#include <stdexcept>

#include "reward/box_lease.h"
#include "reward/sandbox_boundary.h"
#include "reward/toolchain.h"

namespace pupil {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kFileBytes = 16 * kMiB;
constexpr int kOverheadTasks = 3;  // the boundary's own processes
constexpr int kBoxesBeside = 8;

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

bool compiles(Language language) {
  return language == Language::cpp || language == Language::rust;
}

/// The allowance beside a program's own limits: for a compiler, where there is one.
double extra_seconds(const SandboxConfig& config, Language language) {
  return compiles(language) ? config.compile_s : 0;
}

std::vector<ProcessLimit> process_limits(
    const SandboxConfig& config, Language language) {
  const auto memory = static_cast<uint64_t>(config.memory_mb) * kMiB;
  const auto cpu =
      static_cast<uint64_t>(std::ceil(config.cpu_s + extra_seconds(config, language)));
  const bool plain = language == Language::python;
  const uint64_t files = plain ? 64 : 256;
  std::vector<ProcessLimit> limits = {
      {RLIMIT_CPU, cpu, cpu + 1},  // SIGXCPU, then SIGKILL
      {RLIMIT_FSIZE, kFileBytes, kFileBytes},
      {RLIMIT_NOFILE, files, files},
      {RLIMIT_CORE, 0, 0},
      {RLIMIT_STACK, 8 * kMiB, 8 * kMiB}};
#ifdef __linux__
  // V8 and LLVM reserve address space that they never use: there the watch and the
  // control group alone hold the memory.
  const bool reserves = language == Language::javascript || language == Language::rust;
  if (!reserves) limits.push_back({RLIMIT_AS, memory, memory});
  limits.push_back({RLIMIT_MEMLOCK, 0, 0});
  limits.push_back({RLIMIT_MSGQUEUE, 0, 0});
#endif
  return limits;
}

// A box that is neither a user nor a namespace of its own counts all processes of ours,
// and those of the boxes beside it: the watch keeps its exact limit, the kernel only
// bounds what can happen between two looks. 0: no such limit.
int shared_task_limit(int processes) {
  const int others = num_user_tasks();
  return others > 0 ? others + kBoxesBeside * processes : 0;
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

/// A language's tools and the boundary around a box with them in it.
struct Workshop {
  Toolchain tools;
  BoundaryPlan plan;
};

struct Sandbox::Impl {
  SandboxConfig config;
  Interpreter interpreter;
  MakePlan make_plan = plan_nothing;
  BoundaryPlan plan;  // around Python alone
  CgroupFolders cgroups = find_cgroups();
  std::string description;
  std::shared_ptr<BoxSlots> slots = std::make_shared<BoxSlots>();
  std::mutex mutex;  // guards workshops
  std::map<Language, Workshop> workshops;

  void choose(MakePlan chosen, const Interpreter& python);
  const Workshop& workshop(Language language);
};

void Sandbox::Impl::choose(MakePlan chosen, const Interpreter& python) {
  interpreter = python;
  make_plan = chosen;
  plan = make_plan(interpreter);
  workshops.clear();
  const std::string groups = cgroups.description();
  description = std::string(name_of(plan.boundary)) +
                (groups.empty() ? "" : " + " + groups) + ", Python " + python.version +
                " (" + python.path + ")";
}

const Workshop& Sandbox::Impl::workshop(Language language) {
  std::lock_guard lock(mutex);
  const auto known = workshops.find(language);
  if (known != workshops.end()) return known->second;
  Workshop made{find_toolchain(language), plan};
  if (language != Language::python && made.tools.missing.empty()) {
    made.plan = make_plan(with_tools(interpreter, made.tools));
  }
  return workshops.emplace(language, std::move(made)).first->second;
}

namespace {

constexpr std::array<MakePlan, 3> kBoundaries = {
    plan_bubblewrap, plan_landlock, plan_seatbelt};

[[noreturn]] void refuse(const std::string& troubles) {
  throw std::runtime_error(
      "[sandbox] no boundary for untrusted programs holds on this machine: " +
      (troubles.empty() ? "none was tried" : troubles) +
      "; install bubblewrap, or allow user namespaces or Landlock (sandbox.unsafe: "
      "true "
      "runs them without any)");
}

}  // namespace

Sandbox::Sandbox(const SandboxConfig& config) : Sandbox(config, kBoundaries) {}

Sandbox::Sandbox(const SandboxConfig& config, std::span<const MakePlan> boundaries)
    : impl_(std::make_unique<Impl>()) {
  impl_->config = config;
  const auto interpreters = find_interpreters();
  if (interpreters.empty()) {
    throw std::runtime_error(
        "[sandbox] found no python3 of version 3.8 or newer on the PATH; install one");
  }
  std::string troubles;
  for (const auto make_plan : boundaries) {
    for (const auto& interpreter : interpreters) {
      impl_->choose(make_plan, interpreter);
      std::string trouble = impl_->plan.missing;
      if (trouble.empty()) trouble = probe(*this);
      if (trouble.empty()) return;
      troubles += (troubles.empty() ? "" : "; ") + impl_->description + ": " + trouble;
    }
  }
  if (!config.unsafe) refuse(troubles);
  impl_->choose(plan_nothing, interpreters[0]);
}

Sandbox::~Sandbox() = default;

Boundary Sandbox::boundary() const {
  return impl_->plan.boundary;
}
const std::string& Sandbox::description() const {
  return impl_->description;
}
const std::string& Sandbox::python_path() const {
  return impl_->interpreter.path;
}
const SandboxConfig& Sandbox::config() const {
  return impl_->config;
}

const Toolchain& Sandbox::toolchain(Language language) const {
  return impl_->workshop(language).tools;
}

namespace {

/// What is the same for every box of a kind: limits, and where its output ends.
ProcessOptions box_options(
    const SandboxConfig& config,
    const Program& program,
    const Sandbox::StartOptions& how) {
  ProcessOptions options;
  options.input =
      std::to_string(program.source.size()) + "\n" + program.source + program.input;
  options.keep_input_open = how.keep_input_open;
  options.limits = process_limits(config, program.tools);
  options.wall_s = config.wall_s + extra_seconds(config, program.tools);
  options.output_bytes = static_cast<size_t>(config.output_kb) << 10;
  if (how.output_bytes) options.output_bytes = how.output_bytes;
  return options;
}

}  // namespace

Box Sandbox::start(const Program& program, const StartOptions& how) const {
  const auto& config = impl_->config;
  const bool plain = program.tools == Language::python;
  const auto& plan = plain ? impl_->plan : impl_->workshop(program.tools).plan;
  const TreeLimits tree{
      static_cast<int64_t>(config.memory_mb * kMiB),
      config.cpu_s + extra_seconds(config, program.tools),
      config.processes + kOverheadTasks};
  const bool namespaces = plan.boundary == Boundary::bubblewrap;
  auto lease =
      std::make_unique<Box::Lease>(impl_->slots, tree, !namespaces, impl_->cgroups);
  const BoxUser user = lease->user();
  ProcessOptions options = box_options(config, program, how);
  options.join = lease->cgroup->join();
  const int tasks =
      namespaces || user ? config.processes + 1 : shared_task_limit(config.processes);
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
  Box box = start(program, {});
  Child* child = &box.child();
  while (!child->finished()) Child::pump({&child, 1}, 1.0);
  return box.finish();
}

}  // namespace pupil
