// A box from its start to its end.

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <sstream>
#include <utility>

#include "reward/box_lease.h"

namespace pupil {

Box::Lease::Lease(
    std::shared_ptr<BoxSlots> shared_slots,
    TreeLimits limits,
    bool by_session,
    const CgroupFolders& cgroups)
    : slots(std::move(shared_slots)),
      slot(slots->take()),
      watch(limits, by_session),
      cpu_limit_s(limits.cpu_s) {
  // Of this process, this sandbox and this box.
  std::ostringstream name;
  name << "pupil-" << ::getpid() << "-" << slots.get() << "-" << slot;
  cgroup.emplace(cgroups, name.str(), CgroupLimits{limits.memory_bytes, limits.tasks});
}

BoxUser Box::Lease::user() const {
  if (::geteuid() != 0) return 0;
  return 61184 + static_cast<BoxUser>(::getpid() % 66) * kMaxBoxes +
         static_cast<BoxUser>(slot);
}

Box::Box(ProcessOptions options, std::unique_ptr<Lease> lease, std::string greeting)
    : lease_(std::move(lease)), greeting_(std::move(greeting)) {
  options.watch = [watch = &lease_->watch](pid_t pid) { return watch->check(pid); };
  child_ = std::make_unique<Child>(std::move(options));
}

Box::Box(Box&&) noexcept = default;
Box& Box::operator=(Box&&) noexcept = default;

Box::~Box() {
  if (!child_) return;
  const pid_t root = child_->pid();
  child_.reset();
  lease_->watch.wait_until_empty(root);
}

void Box::restart_clock() {
  child_->restart_clock();
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

/// How a box ended that never greeted, and its first words.
std::string ended_early(const ProcessResult& end) {
  std::string text = end.timed_out              ? "ran out of time"
                     : end.watch_reason.empty() ? "ended"
                                                : "used too much " + end.watch_reason;
  text += ", exit code " + std::to_string(end.exit_code);
  text += ", signal " + std::to_string(end.signal);
  return end.output.empty() ? text : text + ": " + end.output.substr(0, 200);
}

}  // namespace

ExecutionResult Box::finish() {
  Child* child = child_.get();
  child->kill();
  while (!child->finished()) Child::pump({&child, 1}, 1.0);
  lease_->watch.wait_until_empty(child->pid());
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
    result.output = end.start_error.empty() ? ended_early(end) : end.start_error;
    return result;
  }
  const bool out_of_cpu =
      result.signal == SIGXCPU ||
      (result.signal == SIGKILL && result.cpu_s > 0.9 * lease_->cpu_limit_s);
  result.outcome = classify(end, result, out_of_cpu);
  const bool killed = result.outcome == ExecutionResult::Outcome::crashed;
  if (killed && lease_->cgroup->ran_out_of_memory()) {
    result.outcome = ExecutionResult::Outcome::out_of_memory;
  }
  return result;
}

const char* name_of(ExecutionResult::Outcome outcome) {
  using enum ExecutionResult::Outcome;
  switch (outcome) {
    case ok:
      return "ok";
    case crashed:
      return "crash";
    case timed_out:
      return "timeout";
    case out_of_memory:
      return "oom";
    case output_limit:
      return "output-limit";
    case infra_error:
      return "infra-error";
  }
  return "";
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

}  // namespace pupil
