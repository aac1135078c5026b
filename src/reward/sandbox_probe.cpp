#include "reward/sandbox_boundary.h"

namespace pupil {
namespace {

// Attacks the box from inside. Prints one line for each attack that worked.
constexpr const char* kAttacks = R"(
import ctypes, os, resource, _socket
libc = ctypes.CDLL(None, use_errno=True)

def forbidden(what, attack):
    try:
        outcome = attack()
    except (OSError, PermissionError):
        return
    if outcome != -1:
        print('could', what)

def write(path):
    with open(path, 'w') as f: f.write('x')

def syscall(number, *args):
    return libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, args))

forbidden('read /etc/passwd', lambda: open('/etc/passwd').read())
forbidden('list /proc', lambda: os.listdir('/proc'))
forbidden('list /home', lambda: os.listdir('/home'))
forbidden('write to /', lambda: write('/probe'))
forbidden('write to the library', lambda: write(os.path.dirname(os.__file__) + '/probe.py'))
forbidden('make a TCP socket', lambda: _socket.socket(2, 1))
forbidden('make a UDP socket', lambda: _socket.socket(2, 2))
forbidden('make a local socket', lambda: _socket.socket(1, 1))
forbidden('use io_uring', lambda: syscall(425, 8, 0))
forbidden('make a user namespace', lambda: libc.unshare(0x10000000))
forbidden('mount', lambda: libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))
forbidden('trace', lambda: libc.ptrace(0, 0, 0, 0))
forbidden('become root', lambda: os.setuid(0))
forbidden('use keys', lambda: syscall({'x86_64': 250}.get(os.uname().machine, 219), 0, 0, 0))
for fd in range(3, 64):
    forbidden('use descriptor %d' % fd, lambda: os.fstat(fd))
if os.getuid() == 0: print('was root')
if 'PYTHONHASHSEED' not in os.environ or len(os.environ) > 6: print('saw', *os.environ)
limits = [resource.getrlimit(getattr(resource, 'RLIMIT_' + n))[1]
          for n in ('AS', 'CPU', 'FSIZE', 'NOFILE')]
if resource.RLIM_INFINITY in limits: print('had no limits')
print('contained')
)";

}  // namespace

std::string probe(const Sandbox& sandbox) {
  auto result = sandbox.run({.source = kAttacks, .input = ""});
  if (result.outcome == ExecutionResult::Outcome::ok &&
      result.output == "contained\n") {
    return "";
  }
  std::string trouble = result.outcome == ExecutionResult::Outcome::ok
                            ? result.output
                            : result.describe() + ": " + result.output;
  for (char& c : trouble) {
    if (c == '\n') c = ' ';
  }
  return trouble.substr(0, 300);
}

}  // namespace pupil
