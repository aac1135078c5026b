#include "reward/sandbox_boundary.h"

#ifdef __linux__

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>
#include <stdexcept>

namespace pupil {
namespace {

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

// Ways out of the box, into other processes or into the kernel's less tested corners.
constexpr const char* kDenied =
    "io_uring_setup io_uring_enter io_uring_register ptrace process_vm_readv "
    "process_vm_writev kcmp pidfd_getfd process_madvise process_mrelease keyctl "
    "add_key request_key bpf perf_event_open userfaultfd fanotify_init "
    "memfd_secret mount umount umount2 pivot_root chroot move_mount open_tree "
    "fsopen fsmount fsconfig fspick mount_setattr unshare setns "
    "name_to_handle_at open_by_handle_at socket connect bind listen accept "
    "accept4 sendto sendmmsg init_module finit_module delete_module kexec_load "
    "kexec_file_load reboot swapon swapoff acct quotactl quotactl_fd syslog "
    "settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname "
    "iopl ioperm modify_ldt vhangup nfsservctl lookup_dcookie uselib ustat sysfs "
    "personality shmget shmat shmctl semget semop semctl semtimedop msgget "
    "msgsnd msgrcv msgctl mq_open mq_unlink mbind set_mempolicy migrate_pages "
    "move_pages memfd_create flock landlock_create_ruleset";

// Without namespaces around it a program could signal its user's other processes, leave
// the group by which it is killed, or change modes and times, which Landlock lets pass.
constexpr const char* kDeniedAlone =
    "kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal setsid "
    "setpgid setpriority sched_setaffinity sched_setscheduler sched_setattr "
    "sched_setparam ioprio_set chmod fchmod fchmodat fchmodat2 chown fchown lchown "
    "fchownat "
    "utime utimes utimensat futimesat truncate setxattr lsetxattr fsetxattr "
    "setxattrat removexattr lremovexattr fremovexattr removexattrat";

void check(int rc, const char* what) {
  if (rc == 0) return;
  throw std::runtime_error(
      std::string("[sandbox] cannot build the seccomp filter: ") + what);
}

void deny(scmp_filter_ctx filter, const char* names) {
  std::istringstream list(names);
  for (std::string name; list >> name;) {
    const int number = seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) continue;  // unknown to this libseccomp
    const int rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0);
    if (rc != -EDOM) check(rc, name.c_str());  // EDOM: not on this architecture
  }
}

/// clone with a CLONE_NEW* flag, or of a child that is the trainer's; clone3 hides its
/// flags in memory, so it "does not exist" and the C library falls back to clone.
void deny_clones(scmp_filter_ctx filter) {
  for (const unsigned flag :
       {CLONE_PARENT,
        CLONE_NEWUSER,
        CLONE_NEWNS,
        CLONE_NEWPID,
        CLONE_NEWNET,
        CLONE_NEWIPC,
        CLONE_NEWUTS,
        CLONE_NEWCGROUP}) {
    check(
        seccomp_rule_add(
            filter,
            SCMP_ACT_ERRNO(EPERM),
            SCMP_SYS(clone),
            1,
            SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag)),
        "clone");
  }
  check(
      seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0), "clone3");
}

/// `call` with its second argument `number`. The kernel looks at 32 bits of it, so the
/// filter must not look at more.
void deny_second_argument(scmp_filter_ctx filter, int call, unsigned number) {
  check(
      seccomp_rule_add(
          filter,
          SCMP_ACT_ERRNO(EPERM),
          call,
          1,
          SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, number)),
      "second argument");
}

/// Record locks and leases reach other boxes through the shared read-only files.
void deny_locks(scmp_filter_ctx filter) {
  for (const unsigned command :
       {F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW, F_SETLEASE, F_NOTIFY}) {
    deny_second_argument(filter, SCMP_SYS(fcntl), command);
  }
}

/// socketpair stays for event loops, of the local kind only.
void deny_socket_pairs(scmp_filter_ctx filter) {
  check(
      seccomp_rule_add(
          filter,
          SCMP_ACT_ERRNO(EPERM),
          SCMP_SYS(socketpair),
          1,
          SCMP_A0(SCMP_CMP_NE, AF_UNIX)),
      "socketpair");
}

/// Ways to change or signal another process of the same user, which older versions of
/// Landlock let pass: its limits, and the owner of a descriptor's signals.
void deny_reaching_others(scmp_filter_ctx filter) {
  check(
      seccomp_rule_add(
          filter,
          SCMP_ACT_ERRNO(EPERM),
          SCMP_SYS(prlimit64),
          1,
          SCMP_A0(SCMP_CMP_NE, 0)),
      "prlimit64");
  for (const unsigned command : {F_SETOWN, F_SETOWN_EX, F_SETSIG}) {
    deny_second_argument(filter, SCMP_SYS(fcntl), command);
  }
  for (const unsigned request : {FIOSETOWN, SIOCSPGRP}) {
    deny_second_argument(filter, SCMP_SYS(ioctl), request);
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

std::string seccomp_program(bool alone) {
  Context filter(seccomp_init(SCMP_ACT_ALLOW), seccomp_release);
  if (!filter) throw std::runtime_error("[sandbox] libseccomp does not start");
  // A system call of another ABI (32-bit on a 64-bit kernel) kills the process.
  check(
      seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS),
      "other ABIs");
  deny(filter.get(), kDenied);
  deny_clones(filter.get());
  deny_locks(filter.get());
  deny_socket_pairs(filter.get());
  if (alone) {
    deny(filter.get(), kDeniedAlone);
    deny_reaching_others(filter.get());
  }
  return exported(filter.get());
}

}  // namespace pupil

#else

namespace pupil {

std::string seccomp_program(bool) {
  return "";
}

}  // namespace pupil

#endif
