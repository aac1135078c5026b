#include "reward/sandbox_boundary.h"
#include "reward/seccomp_calls.h"

#ifdef __linux__

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>
#include <stdexcept>

namespace pupil {
namespace {

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

void check(int rc, const char* what) {
  if (rc == 0) return;
  throw std::runtime_error(
      std::string("[sandbox] cannot build the seccomp filter: ") + what);
}

void add_calls(scmp_filter_ctx filter, uint32_t action, const char* names) {
  std::istringstream list(names);
  for (std::string name; list >> name;) {
    const int number = seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) continue;  // unknown to this libseccomp
    const int rc = seccomp_rule_add(filter, action, number, 0);
    if (rc != -EDOM) check(rc, name.c_str());  // EDOM: not on this architecture
  }
}

/// `call` where the bits `mask` of its argument `index` are `value`. The kernel looks
/// at 32 bits of these arguments, so the filter must not look at more.
void allow_if(
    scmp_filter_ctx filter, int call, unsigned index, uint64_t mask, uint64_t value) {
  const scmp_arg_cmp condition{index, SCMP_CMP_MASKED_EQ, mask, value};
  const int rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &condition);
  if (rc != -EDOM) check(rc, "a condition");
}

/// clone without a CLONE_NEW* flag, and not of a child that is the trainer's; clone3
/// hides its flags in memory, so it "does not exist" and the C library falls back to
/// clone.
void allow_clones(scmp_filter_ctx filter) {
  constexpr unsigned kForbidden = CLONE_PARENT | CLONE_NEWUSER | CLONE_NEWNS |
                                  CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                                  CLONE_NEWUTS | CLONE_NEWCGROUP;
  allow_if(filter, SCMP_SYS(clone), 0, kForbidden, 0);
}

/// Of fcntl what concerns a descriptor alone. Record locks and leases reach other boxes
/// through the shared read-only files, an owner's signals other processes.
void allow_descriptor_control(scmp_filter_ctx filter) {
  for (const unsigned command :
       {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETPIPE_SZ}) {
    allow_if(filter, SCMP_SYS(fcntl), 1, 0xffffffff, command);
  }
}

/// socketpair stays for event loops: local streams only, which cannot be pointed at
/// another address as datagrams can.
void allow_socket_pairs(scmp_filter_ctx filter) {
  constexpr unsigned kTypeMask = 0xf;
  check(
      seccomp_rule_add(
          filter,
          SCMP_ACT_ALLOW,
          SCMP_SYS(socketpair),
          2,
          SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffff, AF_UNIX),
          SCMP_A1(SCMP_CMP_MASKED_EQ, kTypeMask, SOCK_STREAM)),
      "socketpair");
}

/// Named pipes, but no device.
void allow_named_pipes(scmp_filter_ctx filter) {
  allow_if(filter, SCMP_SYS(mknod), 1, S_IFMT, S_IFIFO);
  allow_if(filter, SCMP_SYS(mknodat), 2, S_IFMT, S_IFIFO);
}

/// One's own limits, and names and flags of one's own threads; never the signal by
/// which the box dies with the trainer.
void allow_own_control(scmp_filter_ctx filter) {
  allow_if(filter, SCMP_SYS(prlimit64), 0, 0xffffffff, 0);
  for (const unsigned option :
       {PR_SET_NAME,
        PR_GET_NAME,
        PR_SET_DUMPABLE,
        PR_GET_DUMPABLE,
        PR_CAPBSET_READ,
        PR_SET_NO_NEW_PRIVS,
        PR_GET_NO_NEW_PRIVS}) {
    allow_if(filter, SCMP_SYS(prctl), 0, 0xffffffff, option);
  }
}

/// What a descriptor is, and how it reads: no terminal's input, no device, no owner of
/// signals.
void allow_plain_ioctls(scmp_filter_ctx filter) {
  for (const unsigned request :
       {TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX}) {
    allow_if(filter, SCMP_SYS(ioctl), 1, 0xffffffff, request);
  }
}

std::string exported(scmp_filter_ctx filter) {
  UniqueFd file(::memfd_create("filter", MFD_CLOEXEC));
  check(seccomp_export_bpf(filter, file.get()), "export");
  struct stat info {};
  check(::fstat(file.get(), &info), "size");
  std::string program(static_cast<size_t>(info.st_size), '\0');
  const auto n = ::pread(file.get(), program.data(), program.size(), 0);
  check(n == info.st_size ? 0 : -1, "read");
  return program;
}

}  // namespace

std::string seccomp_program(bool alone, Language language) {
  // Calls that nobody named: "not implemented", or the other errno where one is set.
  Context filter(seccomp_init(SCMP_ACT_ERRNO(ENOSYS)), seccomp_release);
  if (!filter) throw std::runtime_error("[sandbox] libseccomp does not start");
  // A system call of another ABI (32-bit on a 64-bit kernel) kills the process.
  check(
      seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS),
      "other ABIs");
  add_calls(filter.get(), SCMP_ACT_ALLOW, kCommonCalls);
  add_calls(filter.get(), SCMP_ACT_ALLOW, calls_of(language));
  add_calls(filter.get(), SCMP_ACT_ERRNO(EPERM), kRefusedCalls);
  const uint32_t others = alone ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW;
  add_calls(filter.get(), others, kNamespaceCalls);
  allow_clones(filter.get());
  allow_descriptor_control(filter.get());
  allow_socket_pairs(filter.get());
  allow_own_control(filter.get());
  allow_plain_ioctls(filter.get());
  if (!alone) allow_named_pipes(filter.get());
  return exported(filter.get());
}

}  // namespace pupil

#else

namespace pupil {

std::string seccomp_program(bool, Language) {
  return "";
}

}  // namespace pupil

#endif
