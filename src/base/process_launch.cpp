#include "base/process_launch.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#ifdef __linux__
#include <sys/syscall.h>
#endif

namespace pupil {
namespace {

[[noreturn]] void fail(int failure_fd, char stage, int error) {
  LaunchFailure failure{error, stage};
  [[maybe_unused]] auto n = ::write(failure_fd, &failure, sizeof(failure));
  ::_exit(127);
}

void close_from(int first) {
#if defined(__linux__) && defined(SYS_close_range)
  if (::syscall(SYS_close_range, first, ~0U, 0) == 0) return;
#endif
  struct rlimit limit {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const int last = limit.rlim_cur < 65536 ? static_cast<int>(limit.rlim_cur) : 65536;
  for (int fd = first; fd < last; ++fd) ::close(fd);
}

/// Handlers of the parent must not run here, and ignored signals must not stay so.
void reset_signals() {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

/// Gives the child its descriptors and nothing else. Returns the new failure_fd.
int arrange_descriptors(const Launch& plan) {
  const int count = static_cast<int>(plan.descriptors.size());
  for (int fd = 0; fd < count; ++fd) {
    if (::dup2(plan.descriptors[fd], fd) < 0) fail(plan.failure_fd, 'd', errno);
  }
  if (::dup2(plan.failure_fd, count) < 0) fail(plan.failure_fd, 'd', errno);
  ::fcntl(count, F_SETFD, FD_CLOEXEC);
  close_from(count + 1);
  return count;
}

void set_limits(std::span<const ProcessLimit> limits, int failure_fd) {
  for (const auto& [resource, soft, hard] : limits) {
    struct rlimit limit {};
    if (::getrlimit(resource, &limit) != 0) fail(failure_fd, 'l', errno);
    if (hard < limit.rlim_max) limit.rlim_max = hard;
    limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
    if (::setrlimit(resource, &limit) != 0) fail(failure_fd, 'l', errno);
  }
}

/// Enters the control groups whose cgroup.procs the plan names.
void join_groups(const Launch& plan, int failure_fd) {
  for (char* const path : plan.join) {
    if (!path) break;
    const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || ::write(fd, "0", 1) != 1) fail(failure_fd, 'g', errno);
    ::close(fd);
  }
}

[[noreturn]] void run_child(const Launch& plan) {
  ::setsid();
  reset_signals();
  ::umask(077);
  const int failure_fd = arrange_descriptors(plan);
  set_limits(plan.limits, failure_fd);
  join_groups(plan, failure_fd);
  if (::chdir(plan.directory) != 0) fail(failure_fd, 'c', errno);
  if (plan.before_exec) {
    if (int error = plan.before_exec(plan.hook_context)) fail(failure_fd, 'h', error);
  }
  ::execve(plan.argv[0], plan.argv.data(), plan.environment.data());
  fail(failure_fd, 'e', errno);
}

// Copying the page tables of a process that holds a model takes milliseconds. A macro,
// because the function that calls vfork must not return in the child.
#ifdef __APPLE__
#define PUPIL_FORK ::fork
#else
#define PUPIL_FORK ::vfork
#endif

}  // namespace

pid_t launch(const Launch& plan) {
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = PUPIL_FORK();
  if (pid == 0) run_child(plan);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

}  // namespace pupil
