#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <stdexcept>

#include "base/process_launch.h"
#ifdef __linux__
#include <sys/prctl.h>
#endif

namespace pupil {
namespace {

constexpr double kWatchSeconds = 0.02;
constexpr double kTrailingSeconds =
    0.2;  // for output of a process that outlives the child
constexpr size_t kFileBytes = 60 << 10;  // below a pipe's capacity

struct Pipe {
  UniqueFd read, write;
};

UniqueFd raised(int fd) {
  UniqueFd low(fd);
  return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, kFirstFreeFd));
}

Pipe make_pipe() {
  std::array<int, 2> fds{};
#ifdef __APPLE__
  if (::pipe(fds.data()) != 0) return {};
#else
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) return {};
#endif
  Pipe pipe{raised(fds[0]), raised(fds[1])};
  return pipe;
}

bool set_nonblocking(const UniqueFd& fd) {
  return ::fcntl(fd.get(), F_SETFL, O_NONBLOCK) == 0;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const auto& s : strings) result.push_back(const_cast<char*>(s.c_str()));
  result.push_back(nullptr);
  return result;
}

std::string describe(const LaunchFailure& failure, const ProcessOptions& options) {
  std::string what = "cannot start " + options.argv[0];
  if (failure.stage == 'c') what = "cannot enter " + options.directory;
  if (failure.stage == 'd') what = "cannot arrange the descriptors of " + what;
  if (failure.stage == 'l') what = "cannot set the limits of " + options.argv[0];
  if (failure.stage == 'g') what = "cannot enter the control group of " + what;
  if (failure.stage == 'h') what = "cannot confine " + options.argv[0];
  return what + ": " + std::strerror(failure.error);
}

/// A pipe that holds `content` and then ends.
UniqueFd filled_pipe(const std::string& content) {
  Pipe pipe = make_pipe();
  if (!pipe.write || content.size() > kFileBytes) return UniqueFd();
  const auto n = ::write(pipe.write.get(), content.data(), content.size());
  if (n != static_cast<ssize_t>(content.size())) return UniqueFd();
  return std::move(pipe.read);
}

/// write(2) that answers EPIPE without a SIGPIPE, whatever the process does with it.
ssize_t write_quietly(int fd, const char* data, size_t size) {
#ifdef __APPLE__
  return ::write(fd, data, size);  // F_SETNOSIGPIPE is set
#else
  sigset_t pipe_signal, before, pending;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  sigpending(&pending);
  ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  const ssize_t n = ::write(fd, data, size);
  const int error = errno;
  if (n < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE)) {
    const timespec now{};
    ::sigtimedwait(&pipe_signal, nullptr, &now);
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return n;
#endif
}

}  // namespace

Child::Child(ProcessOptions options) : options_(std::move(options)) {
  start_ = last_watch_ = Clock::now();
  pending_input_ = std::move(options_.input);
  input_closing_ = !options_.keep_input_open;
  result_.start_error = start();
  finished_ = !result_.start_error.empty();
}

std::string Child::start() {
  const bool apart = options_.error_bytes > 0;
  Pipe in = make_pipe(), out = make_pipe(), failure = make_pipe();
  Pipe err = apart ? make_pipe() : Pipe();
  std::vector<UniqueFd> files;
  for (const auto& content : options_.files) files.push_back(filled_pipe(content));
  const bool ok = in.write && out.write && failure.write && set_nonblocking(in.write) &&
                  set_nonblocking(out.read) &&
                  (!apart || (err.write && set_nonblocking(err.read))) &&
                  std::all_of(files.begin(), files.end(), [](auto& f) { return !!f; });
  if (!ok) return std::string("cannot make pipes: ") + std::strerror(errno);
#ifdef __APPLE__
  ::fcntl(in.write.get(), F_SETNOSIGPIPE, 1);
#endif
  Launch plan{
      pointers(options_.argv),
      pointers(options_.environment),
      options_.directory.c_str(),
      options_.limits,
      pointers(options_.join),
      {in.read.get(), out.write.get(), (apart ? err : out).write.get()},
      failure.write.get(),
      options_.before_exec,
      options_.hook_context.get()};
  for (const auto& file : files) plan.descriptors.push_back(file.get());
  pid_ = launch(plan);
  if (pid_ < 0) return std::string("cannot fork: ") + std::strerror(errno);
  input_ = std::move(in.write);
  output_ = std::move(out.read);
  errors_ = std::move(err.read);
  failure.write.reset();
  LaunchFailure trouble{};
  ssize_t n;
  while ((n = ::read(failure.read.get(), &trouble, sizeof(trouble))) < 0 &&
         errno == EINTR) {
  }
  if (n != sizeof(trouble)) return "";
  ::waitpid(pid_, nullptr, 0);
  return describe(trouble, options_);
}

Child::~Child() {
  if (finished_) return;
  kill();
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
}

void Child::send(std::string_view bytes) {
  if (!finished_ && input_) pending_input_ += bytes;
}

void Child::close_input() {
  input_closing_ = true;
}

void Child::kill() {
  if (finished_ || killed_) return;
  killed_ = true;
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);  // in case it has not reached setsid yet
}

double Child::remaining_s() const {
  return options_.wall_s - std::chrono::duration<double>(Clock::now() - start_).count();
}

void Child::write_input() {
  while (input_ && !pending_input_.empty()) {
    const auto n =
        write_quietly(input_.get(), pending_input_.data(), pending_input_.size());
    if (n >= 0) {
      pending_input_.erase(0, static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      input_.reset();
      pending_input_.clear();
    }
  }
  if (input_closing_) input_.reset();
}

void Child::read_output() {
  std::array<char, 1 << 16> buffer;
  while (output_) {
    const auto n = ::read(output_.get(), buffer.data(), buffer.size());
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
      output_.reset();
    } else if (n > 0) {
      if (num_read_ == 0) last_watch_ = {};
      const size_t kept =
          std::min(static_cast<size_t>(n), options_.output_bytes - num_read_);
      num_read_ += kept;
      result_.output.append(buffer.data(), kept);
      if (kept < static_cast<size_t>(n)) {
        result_.output_exceeded = true;
        kill();
        output_.reset();
      }
    } else if (errno == EAGAIN) {
      return;
    }
  }
}

/// A flood on stderr must not keep us here: what is left is read at the next step.
void Child::read_errors() {
  constexpr size_t kStepBytes = 1 << 20;
  std::array<char, 1 << 16> buffer;
  static_assert(kStepBytes + sizeof(buffer) <= kErrorsOfOneStep);
  for (size_t read = 0; errors_ && read < kStepBytes;) {
    const auto n = ::read(errors_.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return errors_.reset();
    read += static_cast<size_t>(n);
    auto& kept = result_.errors.append(buffer.data(), static_cast<size_t>(n));
    if (kept.size() > options_.error_bytes) {
      kept.erase(0, kept.size() - options_.error_bytes);
    }
  }
}

void Child::enforce_limits() {
  if (killed_) return;
  if (remaining_s() <= 0) {
    result_.timed_out = true;
    return kill();
  }
  const auto now = Clock::now();
  if (!options_.watch || now < last_watch_ + std::chrono::milliseconds(20)) return;
  last_watch_ = now;
  result_.watch_reason = options_.watch(pid_);
  if (!result_.watch_reason.empty()) kill();
}

void Child::record_end(int status) {
  result_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  result_.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  result_.wall_s = std::chrono::duration<double>(Clock::now() - start_).count();
}

/// The group is killed before the child is reaped: until then its id cannot be reused.
void Child::reap_if_ended() {
  if (!ended_) {
    siginfo_t info{};
    const int flags = WEXITED | WNOHANG | WNOWAIT;
    if (::waitid(P_PID, static_cast<id_t>(pid_), &info, flags) != 0) return;
    if (info.si_pid != pid_) return;
    ::kill(-pid_, SIGKILL);
    ended_ = Clock::now();
  }
  const std::chrono::duration<double> trailing = Clock::now() - *ended_;
  if ((output_ || errors_) && trailing.count() < kTrailingSeconds) return;
  int status = 0;
  struct rusage usage {};
  while (::wait4(pid_, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  auto seconds = [](timeval t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  result_.cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
#ifdef __APPLE__
  result_.peak_memory_bytes = usage.ru_maxrss;
#else
  result_.peak_memory_bytes = usage.ru_maxrss * 1024;
#endif
  record_end(status);
  input_.reset();
  output_.reset();
  errors_.reset();
  finished_ = true;
}

void Child::step() {
  if (finished_) return;
  write_input();
  read_output();
  read_errors();
  enforce_limits();
  reap_if_ended();
}

void Child::pump(std::span<Child* const> children, double wait_s) {
  std::vector<pollfd> fds;
  double wait = wait_s;
  for (const Child* child : children) {
    if (child->finished_) continue;
    if (child->output_) fds.push_back({child->output_.get(), POLLIN, 0});
    if (child->errors_) fds.push_back({child->errors_.get(), POLLIN, 0});
    if (child->input_ && !child->pending_input_.empty()) {
      fds.push_back({child->input_.get(), POLLOUT, 0});
    }
    // A child that closed its output, or was killed, is about to end.
    const bool ending = !child->output_ || child->killed_ || child->ended_;
    wait = std::min({wait, ending ? 0.001 : kWatchSeconds, child->remaining_s()});
  }
  const int wait_ms = std::max(0, static_cast<int>(wait * 1e3 + 0.999));
  ::poll(fds.data(), static_cast<nfds_t>(fds.size()), wait_ms);
  for (Child* child : children) child->step();
}

int die_with_parent(const void* /*context*/) {
#ifdef __linux__
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  return 0;
}

ProcessResult run_process(ProcessOptions options) {
  Child child(std::move(options));
  Child* const self = &child;
  while (!child.finished()) Child::pump({&self, 1}, 1.0);
  return child.result();
}

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "/usr/local/bin:/usr/bin:/bin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = folder + "/" + name;
    struct stat info {};
    const bool file = ::stat(candidate.c_str(), &info) == 0 && S_ISREG(info.st_mode);
    if (file && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

}  // namespace pupil
