#include "reward/sandbox_boundary.h"

#ifdef __linux__

#include <unistd.h>

#include <filesystem>
#include <set>

#include "reward/box_watch.h"

namespace pupil {
namespace {

using Arguments = std::vector<std::string>;

void append(Arguments& arguments, std::initializer_list<std::string> more) {
  arguments.insert(arguments.end(), more);
}

/// Everything but the file system. As root there is no user namespace: a real
/// unprivileged user makes the process limit hold, and the program inside becomes it.
Arguments isolation(const std::string& bwrap, bool root) {
  Arguments result = {bwrap, "--unshare-ipc", "--unshare-pid", "--unshare-net"};
  append(result, {"--unshare-uts", "--unshare-cgroup-try", "--hostname", "box"});
  append(result, {"--die-with-parent", "--new-session", "--cap-drop", "ALL"});
  if (root) {
    append(result, {"--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"});
  } else {
    append(result, {"--unshare-user", "--uid", "65534", "--gid", "65534"});
  }
  return result;
}

/// The folders above the interpreter's files: bubblewrap itself would make them for the
/// user that starts it alone.
std::set<std::string> folders_above(const std::vector<std::string>& paths) {
  std::set<std::string> folders = {"/dev"};  // sorted: parents come first
  for (const std::filesystem::path path : paths) {
    auto folder = path.parent_path();
    for (; folder != folder.root_path(); folder = folder.parent_path()) {
      folders.insert(folder);
    }
  }
  return folders;
}

/// A fresh root: the interpreter, three devices, an empty /tmp.
void add_file_system(Arguments& arguments, const Interpreter& interpreter) {
  for (const auto& folder : folders_above(interpreter.read_only)) {
    append(arguments, {"--perms", "0755", "--dir", folder});
  }
  for (const auto& path : interpreter.read_only) {
    append(arguments, {"--ro-bind", path, path});
  }
  for (const auto& [link, target] : interpreter.links) {
    append(arguments, {"--symlink", target, link});
  }
  for (const std::string device : {"/dev/null", "/dev/zero", "/dev/urandom"}) {
    append(arguments, {"--dev-bind", device, device});
  }
  append(
      arguments,
      {"--perms", "1777", "--size", std::to_string(kBoxTmpBytes), "--tmpfs", "/tmp"});
  append(arguments, {"--remount-ro", "/", "--chdir", "/tmp"});
}

void add_environment(Arguments& arguments) {
  arguments.push_back("--clearenv");
  for (const auto& entry : box_environment()) {
    const auto equals = entry.find('=');
    append(arguments, {"--setenv", entry.substr(0, equals), entry.substr(equals + 1)});
  }
}

}  // namespace

BoundaryPlan plan_bubblewrap(const Interpreter& interpreter) {
  BoundaryPlan plan{.boundary = Boundary::bubblewrap};
  const std::string bwrap = find_program("bwrap");
  if (bwrap.empty()) {
    plan.missing = "bwrap is not installed";
    return plan;
  }
  plan.drops_user = ::geteuid() == 0;
  Arguments command = isolation(bwrap, plan.drops_user);
  add_file_system(command, interpreter);
  add_environment(command);
  // The first of `files` is descriptor 3.
  append(command, {"--seccomp", "3", interpreter.path});
  plan.confine = [command, filter = seccomp_program(false, interpreter.tools)](
                     ProcessOptions& options, const Arguments& arguments, BoxUser) {
    options.argv = command;
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.files = {filter};
  };
  return plan;
}

}  // namespace pupil

#else

namespace pupil {

BoundaryPlan plan_bubblewrap(const Interpreter&) {
  return {.boundary = Boundary::bubblewrap, .missing = "bubblewrap is for Linux"};
}

}  // namespace pupil

#endif
