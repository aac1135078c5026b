// Programs that attack the box they run in.

#pragma once

namespace pupil {

struct Attack {
  int number;  // of the list of attacks that a box must withstand, 1 to 35
  const char* name;
  const char* program;  // prints "HOLE" if it gets what it must not; TRAINER stands
                        // for the trainer's process id, SOURCE for the project's folder
};

// Each is run in the box; whatever it does, the word HOLE must not come out, it must
// end in time, and what it used must be within the limits.
inline const Attack kAttacks[] = {
    {2,
     "fork_bomb",
     "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"},
    {2,
     "many_forks",
     "import os, time\nn = 0\n"
     "try:\n  for i in range(100):\n    if os.fork() == 0: time.sleep(100)\n    n += "
     "1\n"
     "except OSError: pass\ntime.sleep(0.5)\nif n > 16: print('HOLE', n)"},
    {3,
     "thread_bomb",
     "import threading, time\nn = 0\n"
     "try:\n  for i in range(100):\n"
     "    threading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n"
     "    n += 1\nexcept RuntimeError: pass\ntime.sleep(0.5)\n"
     "if n > 16: print('HOLE', n)"},
    {4,
     "one_process_memory",
     "try:\n  x = bytearray(300 << 20)\n  print('HOLE')\nexcept MemoryError: pass"},
    {5,
     "many_processes_memory",
     "import os, time\nr, w = os.pipe()\nfor i in range(8):\n"
     "  if os.fork() == 0:\n    x = bytearray(b'x') * (60 << 20)\n"
     "    os.write(w, b'x')\n    time.sleep(2)\n    os._exit(0)\n"
     "os.close(w)\nif sum(len(os.read(r, 1)) for i in range(8)) == 8: print('HOLE')"},
    {6,
     "shared_memory",
     "import mmap, os, time\nr, w = os.pipe()\nfor i in range(4):\n"
     "  if os.fork() == 0:\n    m = mmap.mmap(-1, 90 << 20)\n"
     "    for j in range(0, 90 << 20, 4096): m[j] = 1\n"
     "    os.write(w, b'x')\n    time.sleep(2)\n    os._exit(0)\n"
     "os.close(w)\nif sum(len(os.read(r, 1)) for i in range(4)) == 4: print('HOLE')"},
    {6,
     "file_memory",
     "import os\nn = 0\ntry:\n  for i in range(100):\n"
     "    with open('/tmp/%d' % i, 'wb') as f:\n"
     "      n += f.write(b'x' * (8 << 20))\nexcept OSError: pass\n"
     "if n > 80 << 20: print('HOLE', n)"},
    {7,
     "one_large_file",
     "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
     "try:\n  f = open('/tmp/big', 'wb')\n  f.truncate(1 << 30)\n  print('HOLE')\n"
     "except OSError: pass"},
    {6,
     "anonymous_file",
     "import os\ntry:\n  os.memfd_create('x')\n  print('HOLE')\nexcept OSError: pass"},
    {10, "endless_output", "while True: print('spam' * 1000)"},
    {11, "endless_stderr", "import sys\nwhile True: sys.stderr.write('spam' * 1000)"},
    {13,
     "spin_in_processes",
     "import os\nfor i in range(5): os.fork()\nwhile True: pass"},
    {15,
     "ignore_signals",
     "import signal, time\nfor s in range(1, 64):\n"
     "  try: signal.signal(s, signal.SIG_IGN)\n  except (OSError, ValueError): pass\n"
     "while True: time.sleep(1)"},
    {16, "stop_itself", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"},
    {17, "stack", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()"},
    {18, "big_number", "x = 9**9**9"},
    {27,
     "daemon",
     "import os, time\nif os.fork() == 0:\n"
     "  try: os.setsid()\n  except OSError: pass\n"
     "  if os.fork() == 0:\n    time.sleep(100)\n    print('HOLE')\n"},
    {28,
     "zombies",
     "import os\nn = 0\ntry:\n  while n < 3000:\n    if os.fork() == 0: os._exit(0)\n"
     "    n += 1\nexcept OSError: pass\nif n > ALLOWED: print('HOLE', n)"},
    {26,
     "kill_everything",
     "import os\ntry: os.kill(-1, 9)\nexcept OSError: pass\n"
     "try: os.kill(os.getppid(), 9)\nexcept OSError: pass"},
    {20,
     "passwords",
     "for p in ('/etc/passwd', '/etc/shadow', '/etc/hostname', '/root/.bashrc'):\n"
     "  try:\n    open(p).read()\n    print('HOLE', p)\n  except OSError: pass"},
    {21,
     "environment",
     "import os\nif 'PUPIL_SECRET' in str(os.environ): print('HOLE')\n"
     "for p in ['1', 'self', str(os.getppid())]:\n  try:\n"
     "    if 'PUPIL_SECRET' in open('/proc/%s/environ' % p).read(): print('HOLE', p)\n"
     "  except OSError: pass"},
    {21,
     "descriptors",
     "import os\nfor fd in range(3, 256):\n  try:\n    os.fstat(fd)\n"
     "    print('HOLE', fd)\n  except OSError: pass"},
    {23,
     "network",
     "import socket\nfor f in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 40, "
     "16, "
     "38):\n  for t in (1, 2, 3):\n    try:\n      socket.socket(f, t)\n"
     "      print('HOLE', f, t)\n    except OSError: pass"},
    {31,
     "kernel_corners",
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
    {29,
     "nested_namespaces",
     "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
     "for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000):\n"
     "  if libc.unshare(flag) == 0: print('HOLE')\n"
     "  if os.uname().machine == 'x86_64' and libc.syscall(56, flag | 17, 0, 0, 0, 0) "
     ">= 0:\n"
     "    print('HOLE clone')"},
    {33,
     "locks_between_boxes",
     "import fcntl, os\nf = open(os.__file__)\n"
     "for lock in (lambda: fcntl.flock(f, fcntl.LOCK_SH), "
     "lambda: fcntl.lockf(f, fcntl.LOCK_SH)):\n"
     "  try:\n    lock()\n    print('HOLE')\n  except OSError: pass"},
    {33,
     "locks_by_a_disguised_command",
     "import ctypes, os\nif os.uname().machine == 'x86_64':\n"
     "  f, lock = os.open(os.__file__, os.O_RDONLY), ctypes.create_string_buffer(32)\n"
     "  for command in (6, 37):\n"
     "    if ctypes.CDLL(None).syscall(ctypes.c_long(72), ctypes.c_long(f),\n"
     "        ctypes.c_long(command | 1 << 32), lock) == 0: print('HOLE', command)"},
    {35,
     "write_outside",
     "import os\nfor p in ('/x', '/usr/x', '/dev/x', os.path.dirname(os.__file__) + "
     "'/sitecustomize.py', '/dev/shm/x', '/proc/sys/kernel/core_pattern'):\n"
     "  try:\n    open(p, 'w')\n    print('HOLE', p)\n  except OSError: pass"},
    {30,
     "become_root",
     "import os\nfor f in (os.setuid, os.setgid):\n  try:\n    f(0)\n    "
     "print('HOLE')\n"
     "  except OSError: pass"},
    {30,
     "setuid_programs",
     "import os, subprocess\nfor p in ('/usr/bin/su', '/bin/mount', '/usr/bin/sudo'):\n"
     "  try:\n    subprocess.run([p, '--version'])\n    print('HOLE')\n"
     "  except (OSError, PermissionError): pass"},
    {13,
     "raise_limits",
     "import resource\nfor r in (resource.RLIMIT_AS, resource.RLIMIT_NPROC, "
     "resource.RLIMIT_CPU):\n  try:\n    resource.setrlimit(r, (10**12, 10**12))\n"
     "    print('HOLE')\n  except (OSError, ValueError): pass"},
    {26,
     "signal_the_trainer",
     "import ctypes, os\nlibc = ctypes.CDLL(None)\ncalls = {62: (TRAINER, 0),\n"
     "  234: (TRAINER, TRAINER, 0), 200: (TRAINER, 0),\n"
     "  302: (TRAINER, 7, 0, ctypes.byref((ctypes.c_long * 2)()))}\n"
     "if os.uname().machine == 'x86_64':\n"
     "  for number in (62, 200, 234, 302):\n"
     "    if libc.syscall(ctypes.c_long(number), *calls[number]) == 0:\n"
     "      print('HOLE', number)"},
    {26,
     "signal_the_trainer_by_a_pipe",
     "import fcntl, os\nr, w = os.pipe()\n"
     "try:\n  fcntl.fcntl(r, fcntl.F_SETOWN, TRAINER)\n  print('HOLE')\n"
     "except OSError: pass"},
    {27,
     "child_of_the_trainer",
     "import ctypes, os\nif os.uname().machine == 'x86_64':\n"
     "  if ctypes.CDLL(None).syscall(56, 0x8011, 0, 0, 0, 0) >= 0: print('HOLE')"},
    {21,
     "other_processes",
     "import os\nfor p in ('/proc', '/proc/1', '/proc/TRAINER'):\n"
     "  for f in ('', '/environ', '/cmdline', '/maps', '/mem'):\n"
     "    try:\n      os.open(p + f, os.O_RDONLY)\n      print('HOLE', p + f)\n"
     "    except OSError: pass"},
    {20,
     "the_tests_and_the_home",
     "import os\nfor p in ('SOURCE/data/tasks/train.jsonl', 'SOURCE', '/root/.bashrc', "
     "'/home',\n"
     "          '/tmp/pupil', '/etc', '/sys', '/dev/shm', '/dev/kmsg', '/dev/tty'):\n"
     "  try:\n    os.open(p, os.O_RDONLY)\n    print('HOLE', p)\n"
     "  except OSError: pass"},
    {9,
     "deep_folders",
     "import os\nos.chdir('/tmp')\nfor i in range(5000):\n"
     "  os.mkdir('d\\n-')\n  os.chdir('d\\n-')"},
};

}  // namespace pupil
