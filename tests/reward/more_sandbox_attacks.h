// Further programs that attack the box they run in; as in sandbox_attacks.h.

#pragma once

#include <vector>

#include "reward/sandbox_attacks.h"

namespace pupil {

inline const Attack kMoreAttacks[] = {
    {7,
     "reserve_a_large_file",
     "import os, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
     "try:\n  f = os.open('/tmp/big', os.O_CREAT | os.O_WRONLY)\n"
     "  os.posix_fallocate(f, 0, 1 << 30)\n  print('HOLE')\nexcept OSError: pass"},
    {8,
     "empty_files",
     "import os\nn = 0\ntry:\n  os.mkdir('/tmp/d')\n"
     "  for n in range(400000): os.close(os.open('/tmp/d/%d' % n, os.O_CREAT))\n"
     "except OSError: pass\nif n > 100000: print('HOLE', n)"},
    {9,
     "odd_names",
     "import os\ntry:\n  os.chdir('/tmp')\n"
     "  for name in (b'-rf', b'a\\nb', b'\\xff\\xfe', b'\\x1b[2J', b'x' * 255):\n"
     "    open(name, 'w').close()\n    os.mkdir(name + b'' if len(name) > 200 else "
     "name + b'd')\n"
     "except OSError: pass"},
    {12, "one_endless_line", "import sys\nwhile True: sys.stdout.write('x' * 65536)"},
    {14, "sleep_forever", "import time\nwhile True: time.sleep(1000)"},
    {18,
     "backtracking",
     "import re\nre.match(r'(a+)+$', 'a' * 60 + 'b')\nprint('HOLE')"},
    {19,
     "core_dump",
     "import os\npid = os.fork()\nif pid == 0: os.abort()\n"
     "if os.WCOREDUMP(os.waitpid(pid, 0)[1]): print('HOLE')\n"
     "for p in ('/tmp', '.'):\n  try:\n    if any('core' in n for n in os.listdir(p)): "
     "print('HOLE', p)\n  except OSError: pass"},
    {20,
     "keys_and_caches",
     "import os\nfor home in ('/root', '/home', os.path.expanduser('~')):\n"
     "  for p in ('.ssh/id_rsa', '.ssh', '.cache/huggingface/token', '.netrc',\n"
     "            '.config/pupil', '.cache/pupil/teacher.sqlite', '.gitconfig'):\n"
     "    try:\n      os.open(home + '/' + p, os.O_RDONLY)\n      print('HOLE', p)\n"
     "    except OSError: pass"},
    {22,
     "connect",
     "import ctypes, socket\nlibc = ctypes.CDLL(None)\n"
     "for family, address in ((2, ('127.0.0.1', 80)), (2, ('169.254.169.254', 80)),\n"
     "    (2, ('1.1.1.1', 53)), (10, ('::1', 80)), (1, '/var/run/docker.sock')):\n"
     "  try:\n    s = socket.socket(family, 1)\n    s.connect(address)\n"
     "    print('HOLE', address)\n  except OSError: pass\n"
     "try:\n  socket.getaddrinfo('example.org', 80)\n  print('HOLE dns')\n"
     "except OSError: pass"},
    {23,
     "datagrams_by_a_pair",
     "import socket\nfor kind in (2, 3, 5):\n"
     "  try:\n    a, b = socket.socketpair(socket.AF_UNIX, kind)\n    print('HOLE', "
     "kind)\n"
     "  except OSError: pass"},
    {24,
     "io_uring",
     "import ctypes\nlibc = ctypes.CDLL(None)\nbuffer = "
     "ctypes.create_string_buffer(256)\n"
     "if libc.syscall(ctypes.c_long(425), 8, buffer) >= 0: print('HOLE')"},
    {25,
     "reach_into_the_parent",
     "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
     "calls = {'ptrace': (101, 16, os.getppid(), 0, 0),\n"
     "  'process_vm_readv': (310, os.getppid(), 0, 0, 0, 0),\n"
     "  'process_vm_writev': (311, os.getppid(), 0, 0, 0, 0),\n"
     "  'pidfd_getfd': (438, 0, 0, 0)}\n"
     "if os.uname().machine == 'x86_64':\n"
     "  for name, call in calls.items():\n"
     "    if libc.syscall(*map(ctypes.c_long, call)) != -1: print('HOLE', name)"},
    {31,
     "calls_of_another_abi",
     "import ctypes, mmap, os\nif os.uname().machine == 'x86_64' and os.fork() == 0:\n"
     "  code = mmap.mmap(-1, 4096, prot=7)\n"
     "  code.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')\n"
     "  address = ctypes.addressof(ctypes.c_char.from_buffer(code))\n"
     "  if ctypes.CFUNCTYPE(ctypes.c_int)(address)() > 0: print('HOLE', flush=True)\n"
     "  os._exit(0)"},
    {32,
     "results_that_are_no_files",
     "import os, stat\nfor make in (\n"
     "    lambda: os.mknod('/tmp/null', stat.S_IFCHR | 0o666, os.makedev(1, 3)),\n"
     "    lambda: os.mknod('/tmp/disk', stat.S_IFBLK | 0o666, os.makedev(8, 0)),\n"
     "    lambda: os.link('/etc/shadow', '/tmp/shadow'),\n"
     "    lambda: open('/tmp/link').read() if os.symlink('/etc/shadow', '/tmp/link') "
     "is None else 0):\n"
     "  try:\n    make()\n    print('HOLE')\n  except OSError: pass"},
    {33,
     "shared_memory_of_the_system",
     "import ctypes, os\nlibc = ctypes.CDLL(None)\n"
     "for f in (lambda: libc.shmget(77, 4096, 0o1666), lambda: libc.semget(77, 1, "
     "0o1666),\n"
     "          lambda: libc.msgget(77, 0o1666), lambda: libc.shm_open(b'/x', 66, "
     "0o666)):\n"
     "  if f() != -1: print('HOLE')"},
    {34,
     "type_into_the_terminal",
     "import fcntl, os\nfor fd in (0, 1, 2):\n"
     "  try:\n    fcntl.ioctl(fd, 0x5412, b'x')\n    print('HOLE', fd)\n"
     "  except OSError: pass\n"
     "try:\n  os.open('/dev/tty', os.O_RDWR)\n  print('HOLE tty')\nexcept OSError: "
     "pass"},
    {35,
     "poison_the_next_start",
     "import os, sys\nlib = os.path.dirname(os.__file__)\n"
     "for p in (lib + '/site-packages/x.pth', lib + '/usercustomize.py', "
     "'/root/.cargo/config',\n"
     "          lib + '/__pycache__/os.cpython-311.pyc', '/usr/include/x.h', "
     "'/usr/bin/cc'):\n"
     "  try:\n    open(p, 'wb').write(b'x')\n    print('HOLE', p)\n  except OSError: "
     "pass"},
};

inline std::vector<Attack> all_attacks() {
  std::vector<Attack> attacks(std::begin(kAttacks), std::end(kAttacks));
  attacks.insert(attacks.end(), std::begin(kMoreAttacks), std::end(kMoreAttacks));
  return attacks;
}

}  // namespace pupil
