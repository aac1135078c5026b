#include "reward/runner_programs.h"

#include <cstdio>

#include "reward/grader_programs.h"

namespace pupil {
namespace {

// Starts programs and reads what they print, both streams at once, with limits.
constexpr const char* kRun = R"PY(
import math, resource, select, time, _signal

def _write(name, content):
    with open('/tmp/' + name, 'wb') as file: file.write(content)

def _exec(argv, streams, cpu_s):
    try:
        os.setpgid(0, 0)
    except OSError: pass
    try:
        for fd, stream in enumerate(streams): os.dup2(stream, fd)
        os.closerange(3, 256)
        seconds = math.ceil(cpu_s)
        most = resource.getrlimit(resource.RLIMIT_CPU)[1]
        if most < 0 or seconds + 1 < most:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        os.execve(argv[0], argv, dict(os.environ))
    except BaseException: pass
    os._exit(127)

class Run:
    def __init__(self, argv, data, cpu_s, wall_s, limit):
        self.deadline, self.limit = time.monotonic() + wall_s, limit
        self.out, self.err, self.num_err = bytearray(), bytearray(), 0
        self.data, self.trouble, self.status, self.ended = data, '-', None, None
        pipes = [os.pipe() for _ in range(3)]
        streams = [pipes[0][0], pipes[1][1], pipes[2][1]]
        self.pid = os.fork()
        if self.pid == 0: _exec(argv, streams, cpu_s)
        for fd in streams: os.close(fd)
        self.input, self.output, self.errors = pipes[0][1], pipes[1][0], pipes[2][0]
        for fd in (self.input, self.output, self.errors): os.set_blocking(fd, False)

    def close(self, name):
        os.close(getattr(self, name))
        setattr(self, name, None)

    def feed(self):
        try: self.data = self.data[os.write(self.input, self.data[:65536]):]
        except BlockingIOError: return
        except OSError: self.data = b''
        if not self.data: self.close('input')

    def read(self, name):
        try: part = os.read(getattr(self, name), 65536)
        except BlockingIOError: return
        if not part: return self.close(name)
        if name == 'output': self.out += part
        else:
            self.num_err += len(part)
            self.err = (self.err + part)[-2000:]
        if len(self.out) > self.limit or self.num_err > 16 * self.limit:
            self.trouble = 'output'

    def look(self):
        if self.status is not None: return
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if pid: self.status, self.ended = status, time.monotonic()

    def step(self, wait_s, also=()):
        poll = select.poll()
        if self.input is not None: poll.register(self.input, select.POLLOUT)
        for fd in (self.output, self.errors, *also):
            if fd is not None: poll.register(fd, select.POLLIN)
        ready = dict(poll.poll(wait_s * 1000))
        if self.input in ready: self.feed()
        for name in ('output', 'errors'):
            if getattr(self, name) in ready: self.read(name)
        self.look()
        if time.monotonic() > self.deadline: self.trouble = 'timeout'

    def over(self):
        if self.trouble != '-': return True
        if self.status is None: return False
        closed = self.output is None and self.errors is None
        return closed or time.monotonic() > self.ended + 0.2

    def go_on(self):
        while not self.over():
            closed = self.output is None and self.errors is None
            self.step(0.002 if closed or self.status is not None else 0.05)

    def finish(self, all_of_them):
        for name in ('input', 'output', 'errors'):
            if getattr(self, name) is not None: self.close(name)
        targets = [-1] if all_of_them else [-self.pid, self.pid]
        for target in targets:
            if target != -1 and self.status is not None: continue
            try: os.kill(target, 9)
            except OSError: pass
        until = time.monotonic() + 1
        while self.status is None and time.monotonic() < until:
            self.look()
            time.sleep(0.001)
        try:
            while all_of_them and os.waitpid(-1, os.WNOHANG)[0]: pass
        except OSError: pass
        return self.status is not None

    def report(self):
        status = self.status if self.status is not None else 9
        signal = status & 0x7f
        if signal == _signal.SIGXCPU: self.trouble = 'timeout'
        head = '%d %d %s %d\n' % (-1 if signal else status >> 8, signal, self.trouble,
                                  len(self.err))
        return head.encode() + bytes(self.err) + bytes(self.out[:self.limit])
)PY";

constexpr const char* kRunner = R"PY(
def _main(compile_s, cpu_s, wall_s, limit, owns):
    argv, broken, lost = [], b'', 0
    owns = owns and os.getpid() < 1000
    while True:
        kind, payload = receive()
        words = payload.split(b'\0')
        if kind == 'F':
            name, _, content = payload.partition(b'\n')
            try: _write(name.decode(), content)
            except OSError as error: broken = describe(error)
        elif kind == 'P': argv = words
        elif kind == 'N': send('V', b'N')
        elif kind == 'K':
            run = Run(words, b'', compile_s, compile_s, 1 << 16)
            run.go_on()
            run.finish(owns)
            if run.trouble == 'timeout': send('T', b'')
            elif run.status == 0: send('V', b'N')
            else: send('X', bytes(run.err or run.out))
        elif broken: send('X', broken)
        elif lost > 1: send('O', b'-1 9 timeout 0\n')
        else:
            run = Run(argv, payload, cpu_s, wall_s, limit)
            run.go_on()
            if not run.finish(owns): lost = 2
            report = run.report()
            lost += run.trouble == 'timeout'
            send('O', report)
)PY";

// How a process of the test command asks: a request in a file, its name through the
// bell, the reply through a pipe of its own. `_pass` returns the reply with its kind.
constexpr const char* kAsk = R"PY(
def _pass(payload):
    import os, threading
    base = '/tmp/.pupil/%d-%d' % (os.getpid(), threading.get_ident())
    with open(base + '.q', 'wb') as file: file.write(payload)
    os.mkfifo(base + '.a')
    bell = os.open('/tmp/.pupil/bell', os.O_WRONLY)
    os.write(bell, (base + '\n').encode())
    os.close(bell)
    with open(base + '.a', 'rb') as file: reply = file.read()
    os.unlink(base + '.a')
    return reply[:1].decode(), reply[1:]
)PY";

constexpr const char* kStandIn = R"PY(
import os, sys
kind, reply = _pass(sys.stdin.buffer.read())
if kind != 'O': raise SystemExit('the program cannot be run: ' + repr(reply[:200]))
head, _, rest = reply.partition(b'\n')
code, signal, trouble, length = head.split()
length = int(length)
sys.stderr.buffer.write(rest[:length])
sys.stdout.buffer.write(rest[length:])
sys.stdout.flush()
if trouble != b'-': code = 124
os._exit(128 + int(signal) if int(signal) else int(code))
)PY";

constexpr const char* kCommander = R"PY(
def _found(word):
    if word in ('python', 'python3'): return sys.executable
    if '/' in word: return word if os.access(word, os.X_OK) else None
    for folder in os.environ.get('PATH', '').split(':'):
        path = folder + '/' + word
        if os.access(path, os.X_OK): return path

def _answer(bell):
    names = os.read(bell, 65536).decode().split()
    for base in names:
        with open(base + '.q', 'rb') as file: request = file.read()
        os.unlink(base + '.q')
        send('A', request)
        kind, payload = receive()
        with open(base + '.a', 'wb') as file: file.write(kind.encode() + payload)

def _command(words, cpu_s, wall_s, limit):
    path = _found(words[0].decode())
    if path is None: return 'U', b'the box has no `' + words[0] + b'`'
    os.chdir('/tmp')
    bell = os.open('/tmp/.pupil/bell', os.O_RDWR | os.O_NONBLOCK)
    run = Run([path.encode()] + words[1:], b'', cpu_s, wall_s, limit)
    while not run.over():
        run.step(0.01, (bell,))
        if select.select([bell], [], [], 0)[0]: _answer(bell)
    run.finish(False)
    if run.trouble == 'timeout': return 'F', b'the tests ran out of time'
    if run.trouble == '-' and run.status == 0: return 'P', b''
    words = (bytes(run.err).strip() or bytes(run.out).strip()).split(b'\n')
    return 'F', words[-1][-300:]

def _main(compile_s, cpu_s, wall_s, limit, owns):
    os.mkdir('/tmp/.pupil')
    os.mkfifo('/tmp/.pupil/bell')
    head = '#!%s -sSB\n' % sys.executable
    _write('solution', (head + _STAND_IN).encode())
    os.chmod('/tmp/solution', 0o755)
    while True:
        kind, payload = receive()
        if kind == 'F':
            name, _, content = payload.partition(b'\n')
            _write(name.decode(), content)
        else:
            try: reply = _command(payload.split(b'\0'), cpu_s, wall_s, limit)
            except Exception as error: reply = 'U', describe(error)
            send(*reply)
)PY";

std::string call_of_main(const RunnerLimits& limits) {
  char text[200];
  std::snprintf(
      text,
      sizeof(text),
      "_main(%.6g, %.6g, %.6g, %zu, %s)\n",
      limits.compile_s,
      limits.run_cpu_s,
      limits.run_wall_s,
      limits.output_bytes,
      limits.owns_processes ? "True" : "False");
  return text;
}

}  // namespace

std::string runner_program(const RunnerLimits& limits) {
  return grader_codec() + kRun + kRunner + call_of_main(limits);
}

std::string commander_program(const RunnerLimits& limits) {
  return grader_codec() + kRun + "_STAND_IN = r'''" + kAsk + kStandIn + "'''\n" +
         kCommander + call_of_main(limits);
}

std::string ask_through_commander() {
  return std::string(kAsk) + "\n_ask = _pass\n";
}

}  // namespace pupil
