#include "reward/box_cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <thread>

#include "base/file.h"
#include "base/unique_fd.h"

namespace pupil {
namespace {

constexpr int kRemovalTries = 50;
constexpr const char* kTrialName = "/pupil-trial-";
constexpr const char* kGroupPrefix = "pupil-";  // then the process's id

bool write_value(const std::string& path, const std::string& value) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), value.data(), value.size()) ==
                     static_cast<ssize_t>(value.size());
}

bool contains_word(const std::string& text, const std::string& word, char separator) {
  std::istringstream words(text);
  for (std::string next; std::getline(words, next, separator);) {
    if (next == word || next == word + "\n") return true;
  }
  return false;
}

/// Where the hierarchy of `controller` (version 2: "") is mounted.
std::string mount_of(const std::string& mounts, const std::string& controller) {
  std::istringstream lines(mounts);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string device, folder, type, options;
    fields >> device >> folder >> type >> options;
    if (controller.empty()
            ? type == "cgroup2"
            : type == "cgroup" && contains_word(options, controller, ',')) {
      return folder;
    }
  }
  return "";
}

/// This process's own group below that mount; "/" where it is the top.
std::string own_group(const std::string& membership, const std::string& controller) {
  std::istringstream lines(membership);
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const auto names = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? names.empty() : contains_word(names, controller, ',')) {
      return line.substr(second + 1);
    }
  }
  return "/";
}

/// True if a group can be made in `folder` and has the file `limit` to write to.
bool is_usable(const std::string& folder, const std::string& limit) {
  const std::string group = folder + kTrialName + std::to_string(::getpid());
  if (::mkdir(group.c_str(), 0755) != 0) return false;
  const bool usable = ::access((group + "/" + limit).c_str(), W_OK) == 0;
  ::rmdir(group.c_str());
  return usable;
}

std::string folder_of(
    const std::string& mounts,
    const std::string& membership,
    const std::string& controller,
    const std::string& limit) {
  const std::string mount = mount_of(mounts, controller);
  if (mount.empty()) return "";
  for (const std::string& folder : {mount + own_group(membership, controller), mount}) {
    if (is_usable(folder, limit)) return folder;
  }
  return "";
}

/// Version 2 lets groups have controllers only where no process sits beside them: the
/// top group, or the parent of ours.
std::string unified_folder(const std::string& mounts, const std::string& membership) {
  const std::string mount = mount_of(mounts, "");
  if (mount.empty()) return "";
  const std::string own = mount + own_group(membership, "");
  const std::string parent = own.substr(0, std::max(own.rfind('/'), mount.size()));
  for (const std::string& folder : {own, parent}) {
    write_value(folder + "/cgroup.subtree_control", "+memory +pids");
    if (is_usable(folder, "memory.max") && is_usable(folder, "pids.max")) return folder;
  }
  return "";
}

/// The number behind `key` and a space in a file of such lines.
long long number_in(const std::string& path, const std::string& key) {
  std::istringstream lines(read_available(path));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(key + " ")) return std::atoll(line.c_str() + key.size());
  }
  return 0;
}

/// Groups that a killed process left. Only empty ones can be removed, so those of
/// others that live stay.
void sweep(const std::string& folder) {
  std::error_code trouble;
  std::filesystem::directory_iterator entry(folder, trouble), end;
  std::vector<std::string> stale;
  for (; !trouble && entry != end; entry.increment(trouble)) {
    const std::string name = entry->path().filename();
    const pid_t pid = name.starts_with(kGroupPrefix)
                          ? std::atoi(name.c_str() + std::strlen(kGroupPrefix))
                          : 0;
    if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH)
      stale.push_back(entry->path());
  }
  for (const auto& group : stale) ::rmdir(group.c_str());
}

void remove_group(const std::string& group) {
  for (int i = 0; i < kRemovalTries; ++i) {
    if (::rmdir(group.c_str()) == 0 || errno == ENOENT) return;
    std::istringstream left(read_available(group + "/cgroup.procs"));
    for (pid_t pid; left >> pid;) {
      if (pid > 0) ::kill(pid, SIGKILL);  // 0: of another pid namespace
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace

std::string CgroupFolders::description() const {
  if (version == 0) return "";
  std::string what = memory.empty() ? "" : "memory";
  if (!processes.empty()) what += what.empty() ? "processes" : ", processes";
  return "cgroup v" + std::to_string(version) + " (" + what + ")";
}

CgroupFolders find_cgroups(const std::string& mounts, const std::string& membership) {
  CgroupFolders found;
  found.memory = found.processes = unified_folder(mounts, membership);
  if (!found.memory.empty()) {
    found.version = 2;
    return found;
  }
  found.memory = folder_of(mounts, membership, "memory", "memory.limit_in_bytes");
  found.processes = folder_of(mounts, membership, "pids", "pids.max");
  found.version = found.memory.empty() && found.processes.empty() ? 0 : 1;
  return found;
}

CgroupFolders find_cgroups() {
  const CgroupFolders found = find_cgroups(
      read_available("/proc/self/mounts"), read_available("/proc/self/cgroup"));
  for (const auto& folder : {found.memory, found.processes}) {
    if (!folder.empty()) sweep(folder);
  }
  return found;
}

BoxCgroup::BoxCgroup(
    const CgroupFolders& folders, const std::string& name, CgroupLimits limits)
    : version_(folders.version) {
  const std::string memory = std::to_string(limits.memory_bytes);
  auto make = [&](const std::string& folder) {
    if (folder.empty()) return std::string();
    std::string group = folder + "/" + name;
    remove_group(group);
    if (::mkdir(group.c_str(), 0755) != 0) return std::string();
    groups_.push_back(group);
    return group;
  };
  const std::string first = make(folders.memory);
  const std::string second = version_ == 2 ? first : make(folders.processes);
  if (!first.empty()) {
    const bool v2 = version_ == 2;
    write_value(first + (v2 ? "/memory.max" : "/memory.limit_in_bytes"), memory);
    write_value(
        first + (v2 ? "/memory.swap.max" : "/memory.memsw.limit_in_bytes"),
        v2 ? "0" : memory);
    if (v2) write_value(first + "/memory.oom.group", "1");
  }
  if (!second.empty()) {
    write_value(second + "/pids.max", std::to_string(limits.processes));
  }
}

BoxCgroup::~BoxCgroup() {
  for (const auto& group : groups_) remove_group(group);
}

std::vector<std::string> BoxCgroup::join() const {
  std::vector<std::string> files;
  for (const auto& group : groups_) files.push_back(group + "/cgroup.procs");
  return files;
}

bool BoxCgroup::ran_out_of_memory() const {
  for (const auto& group : groups_) {
    if (number_in(group + "/memory.oom_control", "oom_kill") > 0) return true;
    if (number_in(group + "/memory.events", "oom_kill") > 0) return true;
  }
  return false;
}

}  // namespace pupil
