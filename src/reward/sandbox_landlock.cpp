#include "reward/sandbox_boundary.h"

#ifdef __linux__

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

namespace pupil {
namespace {

// linux/landlock.h of an older distribution lacks the newer fields and rights; the
// kernel tells by its ABI version which of them it knows.
struct RulesetAttributes {
  uint64_t handled_access_fs, handled_access_net, scoped;
};
struct [[gnu::packed]] PathBeneath {
  uint64_t allowed_access;
  int32_t parent_fd;
};
constexpr long kCreateRuleset = 444, kAddRule = 445, kRestrictSelf = 446;
constexpr unsigned kVersionQuery = 1, kRulePathBeneath = 1;
constexpr uint64_t kExecute = 1, kWriteFile = 2, kReadFile = 4, kReadDir = 8;
constexpr uint64_t kFirstAbiRights = (1 << 13) - 1;
constexpr uint64_t kRefer = 1 << 13, kTruncate = 1 << 14, kIoctlDevice = 1 << 15;
constexpr uint64_t kTcpBindAndConnect = 3, kAbstractSocketsAndSignals = 3;

struct PathRule {
  std::string path;
  uint64_t rights;
};

struct Confinement {
  RulesetAttributes attributes;
  size_t attributes_size;  // as large as the kernel's version knows
  std::vector<PathRule> rules;
  std::string filter;  // struct sock_filter[]
  BoxUser user;
};

long landlock_version() {
  return ::syscall(kCreateRuleset, nullptr, 0, kVersionQuery);
}

Confinement confinement_for(long version) {
  Confinement result{};
  result.attributes.handled_access_fs = kFirstAbiRights;
  if (version >= 2) result.attributes.handled_access_fs |= kRefer;
  if (version >= 3) result.attributes.handled_access_fs |= kTruncate;
  if (version >= 5) result.attributes.handled_access_fs |= kIoctlDevice;
  if (version >= 4) result.attributes.handled_access_net = kTcpBindAndConnect;
  if (version >= 6) result.attributes.scoped = kAbstractSocketsAndSignals;
  result.attributes_size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
  return result;
}

std::vector<PathRule> path_rules(const Interpreter& interpreter) {
  std::vector<PathRule> rules = {
      {"/dev/null", kReadFile | kWriteFile},
      {"/dev/zero", kReadFile},
      {"/dev/urandom", kReadFile}};
  for (const auto& path : interpreter.read_only) {
    struct stat info {};
    const bool folder = ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
    rules.push_back({path, kExecute | kReadFile | (folder ? kReadDir : 0)});
  }
  return rules;
}

// What follows runs between fork and exec: system calls only.

int add_rules(int ruleset, const Confinement& c) {
  for (const auto& rule : c.rules) {
    const int fd = ::open(rule.path.c_str(), O_PATH | O_CLOEXEC);
    if (fd < 0) return errno;
    PathBeneath beneath{rule.rights, fd};
    const long rc = ::syscall(kAddRule, ruleset, kRulePathBeneath, &beneath, 0);
    const int error = errno;
    ::close(fd);
    if (rc != 0) return error;
  }
  return 0;
}

// glibc's wrappers would try to change every thread of the parent.
int become(BoxUser user) {
  if (user == 0) return 0;
  if (::syscall(SYS_setgroups, 0, nullptr) != 0) return errno;
  if (::syscall(SYS_setresgid, user, user, user) != 0) return errno;
  return ::syscall(SYS_setresuid, user, user, user) != 0 ? errno : 0;
}

int install_filter(const std::string& filter) {
  // The kernel only reads it.
  auto* instructions = reinterpret_cast<sock_filter*>(const_cast<char*>(filter.data()));
  const auto count = static_cast<unsigned short>(filter.size() / sizeof(sock_filter));
  sock_fprog program{count, instructions};
  return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0 ? errno : 0;
}

int confine(const void* context) {
  const auto& c = *static_cast<const Confinement*>(context);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  const auto ruleset =
      static_cast<int>(::syscall(kCreateRuleset, &c.attributes, c.attributes_size, 0));
  if (ruleset < 0) return errno;
  if (int error = add_rules(ruleset, c)) return error;
  if (int error = become(c.user)) return error;
  if (::syscall(kRestrictSelf, ruleset, 0) != 0) return errno;
  ::close(ruleset);
  // A change of user clears the parent-death signal.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
  return install_filter(c.filter);
}

}  // namespace

BoundaryPlan plan_landlock(const Interpreter& interpreter) {
  BoundaryPlan plan{.boundary = Boundary::landlock};
  const long version = landlock_version();
  if (version < 1) {
    plan.missing = "the kernel has no Landlock";
    return plan;
  }
  Confinement base = confinement_for(version);
  base.rules = path_rules(interpreter);
  base.filter = seccomp_program(true, interpreter.tools);
  plan.confine = [base, path = interpreter.path](
                     ProcessOptions& options,
                     const std::vector<std::string>& arguments,
                     BoxUser user) {
    auto confinement = std::make_shared<Confinement>(base);
    confinement->user = user;
    options.argv = {path};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.environment = box_environment();
    options.before_exec = confine;
    options.hook_context = confinement;
  };
  return plan;
}

}  // namespace pupil

#else

namespace pupil {

BoundaryPlan plan_landlock(const Interpreter&) {
  return {.boundary = Boundary::landlock, .missing = "Landlock is for Linux"};
}

}  // namespace pupil

#endif
