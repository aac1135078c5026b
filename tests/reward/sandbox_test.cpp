#include "reward/sandbox.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "reward/sandbox_boundary.h"

namespace pupil {
namespace {

using Outcome = ExecutionResult::Outcome;

SandboxConfig small_box() {
  SandboxConfig config;
  config.wall_s = 2.5;
  config.cpu_s = 1;
  config.memory_mb = 256;
  config.processes = 16;
  return config;
}

const Sandbox& box() {
  static const Sandbox sandbox(small_box());
  return sandbox;
}

ExecutionResult run(const std::string& source, const std::string& input = "") {
  return box().run({source, input});
}

TEST(Sandbox, RunsAProgram) {
  const auto result =
      run("import sys, math\nprint(sys.stdin.read(), math.pi)", "pi is");
  EXPECT_EQ(result.outcome, Outcome::ok) << result.output;
  EXPECT_EQ(result.output, "pi is 3.141592653589793\n");
}

TEST(Sandbox, TheStandardLibraryIsThere) {
  const auto result = run(
      "import collections, heapq, json, re, itertools, functools, random, decimal, "
      "fractions, statistics, datetime, string, bisect, copy, asyncio, dataclasses\n"
      "async def f(): return 5\n"
      "open('/tmp/a', 'w').write('x')\n"
      "print(asyncio.run(f()), open('/tmp/a').read())");
  EXPECT_EQ(result.outcome, Outcome::ok) << result.output;
  EXPECT_EQ(result.output, "5 x\n");
}

TEST(Sandbox, OutcomesAreTold) {
  EXPECT_EQ(run("raise SystemExit(3)").exit_code, 3);
  EXPECT_EQ(run("import os; os.abort()").signal, SIGABRT);
  EXPECT_EQ(run("print('x' * 100000)").outcome, Outcome::output_limit);
  EXPECT_EQ(run("import time; time.sleep(100)").outcome, Outcome::timed_out);
  EXPECT_EQ(run("while True: pass").outcome, Outcome::timed_out);
}

TEST(Sandbox, RunsRepeat) {
  const std::string source = "print(list({'a', 'b', 'c', 'd', 'e', 'f'}))";
  EXPECT_EQ(run(source).output, run(source).output);
}

TEST(Sandbox, NothingOfOneRunIsSeenByTheNext) {
  run("open('/tmp/left', 'w').write('x')");
  EXPECT_EQ(run("import os; print(os.listdir('/tmp'))").output, "[]\n");
}

TEST(Sandbox, ManyBoxesAtOnce) {
  std::vector<std::string> outputs(8);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back(
        [&, i] { outputs[i] = run("print(" + std::to_string(i) + ")").output; });
  }
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < 8; ++i) EXPECT_EQ(outputs[i], std::to_string(i) + "\n");
}

TEST(Sandbox, ABoxThatDoesNotStartSaysNothingOfTheProgram) {
  SandboxConfig config = small_box();
  config.memory_mb = 1;  // no interpreter starts in it
  config.unsafe = true;
  const Sandbox sandbox(config);
  EXPECT_EQ(sandbox.boundary(), Boundary::none);
  const auto result = sandbox.run({"print(1)", ""});
  EXPECT_EQ(result.outcome, Outcome::infra_error);
}

TEST(Sandbox, WithoutABoundaryItRefuses) {
  SandboxConfig config = small_box();
  config.memory_mb = 1;
  try {
    const Sandbox sandbox(config);
    FAIL() << "accepted " << sandbox.description();
  } catch (const std::runtime_error& error) {
    const std::string text = error.what();
    EXPECT_TRUE(text.starts_with("[sandbox] no boundary")) << text;
    EXPECT_NE(text.find("sandbox.unsafe"), std::string::npos);
  }
}

struct Attack {
  const char* name;
  const char* program;  // prints "HOLE" if it gets what it must not
};

// Each is run in the box; whatever it does, the word HOLE must not come out, it must
// end in time, and what it used must be within the limits.
const Attack kAttacks[] = {
    {"fork_bomb", "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"},
    {"many_forks",
     "import os, time\nn = 0\n"
     "try:\n  for i in range(100):\n    if os.fork() == 0: time.sleep(100)\n    n += "
     "1\n"
     "except OSError: pass\nif n > 16: print('HOLE', n)"},
    {"thread_bomb",
     "import threading, time\nn = 0\n"
     "try:\n  for i in range(100):\n"
     "    threading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n"
     "    n += 1\nexcept RuntimeError: pass\nif n > 16: print('HOLE', n)"},
    {"one_process_memory",
     "try:\n  x = bytearray(300 << 20)\n  print('HOLE')\nexcept MemoryError: pass"},
    {"many_processes_memory",
     "import os, time\nfor i in range(8):\n"
     "  if os.fork() == 0:\n    x = bytearray(b'x') * (60 << 20)\n    time.sleep(2)\n"
     "    os._exit(0)\n"
     "time.sleep(1.5)\nprint('HOLE')"},
    {"shared_memory",
     "import mmap, os, time\nfor i in range(4):\n"
     "  if os.fork() == 0:\n    m = mmap.mmap(-1, 90 << 20)\n"
     "    for j in range(0, 90 << 20, 4096): m[j] = 1\n    time.sleep(2)\n"
     "    os._exit(0)\n"
     "time.sleep(1.5)\nprint('HOLE')"},
    {"file_memory",
     "import os\nn = 0\ntry:\n  for i in range(100):\n"
     "    with open('/tmp/%d' % i, 'wb') as f:\n"
     "      n += f.write(b'x' * (8 << 20))\nexcept OSError: pass\n"
     "if n > 80 << 20: print('HOLE', n)"},
    {"one_large_file",
     "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
     "try:\n  f = open('/tmp/big', 'wb')\n  f.truncate(1 << 30)\n  print('HOLE')\n"
     "except OSError: pass"},
    {"anonymous_file",
     "import os\ntry:\n  os.memfd_create('x')\n  print('HOLE')\nexcept OSError: pass"},
    {"endless_output", "while True: print('spam' * 1000)"},
    {"endless_stderr", "import sys\nwhile True: sys.stderr.write('spam' * 1000)"},
    {"spin_in_processes", "import os\nfor i in range(5): os.fork()\nwhile True: pass"},
    {"ignore_signals",
     "import signal, time\nfor s in range(1, 64):\n"
     "  try: signal.signal(s, signal.SIG_IGN)\n  except (OSError, ValueError): pass\n"
     "while True: time.sleep(1)"},
    {"stop_itself", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"},
    {"stack", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()"},
    {"big_number", "x = 9**9**9"},
    {"daemon",
     "import os, time\nif os.fork() == 0:\n"
     "  try: os.setsid()\n  except OSError: pass\n"
     "  if os.fork() == 0:\n    time.sleep(100)\n    print('HOLE')\n"},
    {"zombies",
     "import os\nn = 0\ntry:\n  while n < 100:\n    if os.fork() == 0: os._exit(0)\n"
     "    n += 1\nexcept OSError: pass\nif n > 16: print('HOLE', n)"},
    {"kill_everything",
     "import os\ntry: os.kill(-1, 9)\nexcept OSError: pass\n"
     "try: os.kill(os.getppid(), 9)\nexcept OSError: pass"},
    {"passwords",
     "for p in ('/etc/passwd', '/etc/shadow', '/etc/hostname', '/root/.bashrc'):\n"
     "  try:\n    open(p).read()\n    print('HOLE', p)\n  except OSError: pass"},
    {"environment",
     "import os\nif 'PUPIL_SECRET' in str(os.environ): print('HOLE')\n"
     "for p in ['1', 'self', str(os.getppid())]:\n  try:\n"
     "    if 'PUPIL_SECRET' in open('/proc/%s/environ' % p).read(): print('HOLE', p)\n"
     "  except OSError: pass"},
    {"descriptors",
     "import os\nfor fd in range(3, 256):\n  try:\n    os.fstat(fd)\n"
     "    print('HOLE', fd)\n  except OSError: pass"},
    {"network",
     "import socket\nfor f in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 40, "
     "16, "
     "38):\n  for t in (1, 2, 3):\n    try:\n      socket.socket(f, t)\n"
     "      print('HOLE', f, t)\n    except OSError: pass"},
    {"kernel_corners",
     "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
     "calls = {'io_uring_setup': 425, 'userfaultfd': 323, 'bpf': 321, 'keyctl': 250,\n"
     "  'add_key': 248, 'perf_event_open': 298, 'ptrace': 101, 'unshare': 272,\n"
     "  'process_vm_readv': 310, 'clone3': 435, 'setns': 308, 'mount': 165,\n"
     "  'open_by_handle_at': 304, 'pidfd_getfd': 438, 'shmget': 29, 'x32': "
     "0x40000027}\n"
     "if os.uname().machine == 'x86_64':\n"
     "  for name, number in calls.items():\n"
     "    if os.fork() == 0:\n"
     "      rc = libc.syscall(ctypes.c_long(number), 0, 0, 0, 0, 0)\n"
     "      if rc != -1 or ctypes.get_errno() not in (1, 38): print('HOLE', name)\n"
     "      os._exit(0)\n"
     "    os.wait()"},
    {"nested_namespaces",
     "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
     "for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000):\n"
     "  if libc.unshare(flag) == 0: print('HOLE')\n"
     "  if os.uname().machine == 'x86_64' and libc.syscall(56, flag | 17, 0, 0, 0, 0) "
     ">= 0:\n"
     "    print('HOLE clone')"},
    {"locks_between_boxes",
     "import fcntl, os\nf = open(os.__file__)\n"
     "for lock in (lambda: fcntl.flock(f, fcntl.LOCK_SH), "
     "lambda: fcntl.lockf(f, fcntl.LOCK_SH)):\n"
     "  try:\n    lock()\n    print('HOLE')\n  except OSError: pass"},
    {"write_outside",
     "import os\nfor p in ('/x', '/usr/x', '/dev/x', os.path.dirname(os.__file__) + "
     "'/sitecustomize.py', '/dev/shm/x', '/proc/sys/kernel/core_pattern'):\n"
     "  try:\n    open(p, 'w')\n    print('HOLE', p)\n  except OSError: pass"},
    {"become_root",
     "import os\nfor f in (os.setuid, os.setgid):\n  try:\n    f(0)\n    "
     "print('HOLE')\n"
     "  except OSError: pass"},
    {"setuid_programs",
     "import os, subprocess\nfor p in ('/usr/bin/su', '/bin/mount', '/usr/bin/sudo'):\n"
     "  try:\n    subprocess.run([p, '--version'])\n    print('HOLE')\n"
     "  except (OSError, PermissionError): pass"},
    {"raise_limits",
     "import resource\nfor r in (resource.RLIMIT_AS, resource.RLIMIT_NPROC, "
     "resource.RLIMIT_CPU):\n  try:\n    resource.setrlimit(r, (10**12, 10**12))\n"
     "    print('HOLE')\n  except (OSError, ValueError): pass"},
    {"deep_folders",
     "import os\nos.chdir('/tmp')\nfor i in range(5000):\n"
     "  os.mkdir('d\\n-')\n  os.chdir('d\\n-')"},
};

/// Processes of the users that the boxes of this process have when it is root.
int num_box_processes() {
  const unsigned first = 61184 + static_cast<unsigned>(::getpid() % 66) * 64;
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    struct stat info {};
    if (::stat(entry.path().c_str(), &info) != 0) continue;
    count += info.st_uid >= first && info.st_uid < first + 64;
  }
  return count;
}

void expect_contained(const Attack& attack) {
  SCOPED_TRACE(attack.name);
  const auto begin = std::chrono::steady_clock::now();
  const auto result = run(attack.program);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_NE(result.outcome, Outcome::infra_error) << result.output;
  EXPECT_EQ(result.output.find("HOLE"), std::string::npos) << result.output;
  EXPECT_LT(took.count(), small_box().wall_s + 2);
  EXPECT_LE(result.output.size(), 64u << 10);
}

// One test, because every test is a process of its own that has to try the boundary.
TEST(Sandbox, AttacksAreContained) {
  ::setenv("PUPIL_SECRET", "PUPIL_SECRET", 1);
  for (const auto& attack : kAttacks) expect_contained(attack);
  EXPECT_EQ(num_box_processes(), 0);
}

}  // namespace
}  // namespace pupil
