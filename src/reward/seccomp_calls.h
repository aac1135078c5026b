// The system calls that boxes may make, and those worth naming among the others.

#pragma once

#include "data/language.h"

namespace pupil {

/// What any box needs: files below its own root, memory, processes, time.
inline constexpr const char* kCommonCalls =
    "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 open "
    "openat creat close close_range dup dup2 dup3 stat fstat lstat newfstatat "
    "statx access faccessat faccessat2 readlink readlinkat getdents getdents64 getcwd "
    "chdir fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link "
    "linkat symlink symlinkat ftruncate fallocate fsync fdatasync lseek _llseek statfs "
    "fstatfs umask sendfile copy_file_range splice pipe pipe2 select pselect6 poll "
    "ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 "
    "eventfd eventfd2 timerfd_create timerfd_settime timerfd_gettime sendto sendmsg "
    "recvfrom recvmsg shutdown getsockname getpeername getsockopt setsockopt mmap "
    "mprotect munmap mremap madvise msync mincore mlock munlock brk fork vfork execve "
    "exit exit_group wait4 waitid rt_sigaction rt_sigprocmask rt_sigreturn "
    "rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack alarm getitimer setitimer "
    "timer_create timer_settime timer_gettime timer_getoverrun timer_delete pause "
    "nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times "
    "getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid getgroups "
    "getpgrp getpgid getsid setuid setgid setreuid setregid setresuid setresgid "
    "setgroups getrlimit setrlimit getrusage sysinfo uname sched_yield "
    "sched_getaffinity sched_getscheduler sched_getparam sched_get_priority_max "
    "sched_get_priority_min getpriority futex get_robust_list set_robust_list "
    "set_tid_address arch_prctl rseq restart_syscall getrandom membarrier getcpu "
    "fadvise64 readahead capget";

/// What only changes a program's own surroundings where namespaces are around it, but
/// reaches the user's other processes and files where there are none: signals,
/// sessions, modes and times, which Landlock lets pass.
inline constexpr const char* kNamespaceCalls =
    "kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open "
    "pidfd_send_signal setsid setpgid setpriority sched_setaffinity "
    "sched_setscheduler sched_setparam chmod fchmod fchmodat fchmodat2 utime utimes "
    "utimensat futimesat truncate getxattr lgetxattr fgetxattr";

/// Ways out of the box, into other processes or into the kernel's less tested corners.
/// They fail with EPERM; a call that is in no list "does not exist" (ENOSYS), so that a
/// newer C library falls back to an older one.
inline constexpr const char* kRefusedCalls =
    "io_uring_setup io_uring_enter io_uring_register ptrace process_vm_readv "
    "process_vm_writev kcmp pidfd_getfd process_madvise process_mrelease keyctl "
    "add_key request_key bpf perf_event_open userfaultfd fanotify_init "
    "memfd_secret mount umount umount2 pivot_root chroot move_mount open_tree "
    "fsopen fsmount fsconfig fspick mount_setattr unshare setns "
    "name_to_handle_at open_by_handle_at socket connect bind listen accept "
    "accept4 sendmmsg recvmmsg init_module finit_module delete_module kexec_load "
    "kexec_file_load reboot swapon swapoff acct quotactl quotactl_fd syslog "
    "settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname "
    "iopl ioperm modify_ldt vhangup nfsservctl lookup_dcookie uselib ustat sysfs "
    "personality shmget shmat shmctl semget semop semctl semtimedop msgget "
    "msgsnd msgrcv msgctl mq_open mq_unlink mbind set_mempolicy migrate_pages "
    "move_pages memfd_create flock landlock_create_ruleset inotify_init inotify_init1 "
    "vmsplice tee chown fchown lchown fchownat ioprio_set setxattr lsetxattr fsetxattr "
    "removexattr lremovexattr fremovexattr";

/// What a language's own tools need beyond that.
constexpr const char* calls_of(Language language) {
  switch (language) {
    case Language::javascript:  // V8's protection keys, its threads' names and
                                // priorities
      return "pkey_alloc pkey_mprotect pkey_free get_mempolicy mlock2 sched_getattr";
    case Language::cpp:
    case Language::rust:
      return "sched_getattr";
    case Language::python:
    case Language::bash:
      return "";
  }
  return "";
}

}  // namespace pupil
