#include "reward/box_watch.h"

#include <unistd.h>

#ifdef __linux__
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "base/file.h"
#else
#include <libproc.h>
#include <sys/resource.h>

#include <vector>
#endif

namespace pupil {

BoxWatch::BoxWatch(TreeLimits limits, bool by_session)
    : limits_(limits), by_session_(by_session) {}

#ifdef __linux__
namespace {

constexpr std::chrono::milliseconds kEmptying(2000);

// Short or empty where the process ends while it is looked at.
std::string read_proc(pid_t pid, const char* name) {
  return read_available("/proc/" + std::to_string(pid) + "/" + name);
}

/// The entries of a folder that are numbers, as far as it can be read.
std::vector<pid_t> numbers_in(const std::string& folder) {
  std::vector<pid_t> numbers;
  std::error_code gone;
  std::filesystem::directory_iterator entry(folder, gone), end;
  for (; !gone && entry != end; entry.increment(gone)) {
    const auto number = std::atoi(entry->path().filename().c_str());
    if (number > 0) numbers.push_back(static_cast<pid_t>(number));
  }
  return numbers;
}

/// The fields of /proc/PID/stat after the command's name: [0] is the state.
std::vector<long long> stat_fields(pid_t pid) {
  const std::string text = read_proc(pid, "stat");
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos || name_end + 4 > text.size()) return {};
  std::istringstream numbers(text.substr(name_end + 4));
  std::vector<long long> fields = {0};
  for (long long value; numbers >> value;) fields.push_back(value);
  return fields;
}

int64_t kib_of(const std::string& status, const char* key) {
  const auto at = status.find(key);
  if (at == std::string::npos) return 0;
  return std::atoll(status.c_str() + at + std::strlen(key));
}

void add(pid_t pid, const std::vector<long long>& fields, TreeUsage& usage) {
  if (fields.size() < 18) return;
  const auto ticks = fields[11] + fields[12] + fields[13] + fields[14];
  usage.cpu_s +=
      static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  usage.tasks += static_cast<int>(fields[17]);
  const std::string status = read_proc(pid, "status");
  usage.memory_bytes += (kib_of(status, "RssAnon:") + kib_of(status, "RssShmem:"))
                        << 10;
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const pid_t task : numbers_in(tasks)) {
    std::ifstream list(tasks + "/" + std::to_string(task) + "/children");
    for (pid_t child; list >> child;) children.push_back(child);
  }
  return children;
}

void add_descendants(pid_t root, TreeUsage& usage) {
  add(root, stat_fields(root), usage);
  for (const pid_t child : children_of(root)) add_descendants(child, usage);
}

/// The processes of a session, dead ones too that nobody has reaped yet.
std::vector<pid_t> processes_of(pid_t session) {
  std::vector<pid_t> processes;
  for (const pid_t pid : numbers_in("/proc")) {
    if (::getsid(pid) == session) processes.push_back(pid);
  }
  return processes;
}

void add_session(pid_t session, TreeUsage& usage) {
  for (const pid_t pid : processes_of(session)) add(pid, stat_fields(pid), usage);
}

/// Files in the box's /tmp; 0 as long as the box sees another one: its size tells.
int64_t num_files(const std::string& folder) {
  struct statvfs info {};
  if (folder.empty() || ::statvfs(folder.c_str(), &info) != 0) return 0;
  if (info.f_blocks * info.f_frsize != kBoxTmpBytes) return 0;
  return static_cast<int64_t>(info.f_files) - static_cast<int64_t>(info.f_ffree);
}

/// The group was killed with its leader; what it left belongs to the system's first
/// process, and counts against the next box of this user until that one has reaped it.
void wait_for_session(pid_t session) {
  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + kEmptying;
  while (session > 0 && steady_clock::now() < deadline) {
    if (processes_of(session).empty()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace

int num_user_tasks() {
  int tasks = 0;
  for (const pid_t pid : numbers_in("/proc")) {
    struct stat info {};
    if (::stat(("/proc/" + std::to_string(pid)).c_str(), &info) != 0) continue;
    if (info.st_uid != ::geteuid()) continue;
    const auto fields = stat_fields(pid);
    tasks += fields.size() > 17 ? static_cast<int>(fields[17]) : 1;
  }
  return tasks;
}

TreeUsage measure_tree(pid_t root, bool by_session) {
  TreeUsage usage;
  by_session ? add_session(root, usage) : add_descendants(root, usage);
  return usage;
}

void BoxWatch::find_first_process(pid_t root) {
  if (inner_ || by_session_) return;
  const auto children = children_of(root);
  if (children.empty()) return;
  inner_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, children[0], 0)));
  scratch_ = "/proc/" + std::to_string(children[0]) + "/root/tmp";
}

std::string BoxWatch::check(pid_t root) {
  find_first_process(root);
  if (num_files(scratch_) > kMaxBoxFiles) return kOverFiles;
  last_ = measure_tree(root, by_session_);
  if (last_.memory_bytes > limits_.memory_bytes) return kOverMemory;
  if (last_.cpu_s > limits_.cpu_s) return kOverCpu;
  return last_.tasks > limits_.tasks ? kOverTasks : "";
}

void BoxWatch::wait_until_empty(pid_t root) {
  if (by_session_) return wait_for_session(root);
  if (!inner_) return;
  ::syscall(SYS_pidfd_send_signal, inner_.get(), SIGKILL, nullptr, 0);
  pollfd ended{inner_.get(), POLLIN, 0};
  ::poll(&ended, 1, static_cast<int>(kEmptying.count()));
}

#else

int num_user_tasks() {
  return 0;
}

TreeUsage measure_tree(pid_t root, bool) {
  TreeUsage usage;
  std::vector<pid_t> group(1024);
  const int bytes = ::proc_listpids(
      PROC_PGRP_ONLY,
      static_cast<uint32_t>(root),
      group.data(),
      static_cast<int>(group.size() * sizeof(pid_t)));
  for (int i = 0; i < bytes / static_cast<int>(sizeof(pid_t)); ++i) {
    rusage_info_v2 info{};
    auto* buffer = reinterpret_cast<rusage_info_t*>(&info);
    if (group[i] <= 0 || ::proc_pid_rusage(group[i], RUSAGE_INFO_V2, buffer) != 0) {
      continue;
    }
    usage.memory_bytes += static_cast<int64_t>(info.ri_phys_footprint);
    usage.cpu_s += static_cast<double>(info.ri_user_time + info.ri_system_time) * 1e-9;
    ++usage.tasks;
  }
  return usage;
}

std::string BoxWatch::check(pid_t root) {
  last_ = measure_tree(root, by_session_);
  if (last_.memory_bytes > limits_.memory_bytes) return kOverMemory;
  if (last_.cpu_s > limits_.cpu_s) return kOverCpu;
  return last_.tasks > limits_.tasks ? kOverTasks : "";
}

void BoxWatch::wait_until_empty(pid_t) {}

#endif

}  // namespace pupil
