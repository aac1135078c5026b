#include "reward/grader_programs.h"

#include <cstdio>

namespace pupil {
namespace {

constexpr const char* kPipes = R"PY(
import os, sys
_in, _out = os.dup(0), os.dup(1)
_null = os.open('/dev/null', os.O_RDWR)
for _fd in (0, 1, 2): os.dup2(_null, _fd)

def _read(count, read=os.read, fd=_in, exit=os._exit):
    parts = []
    while count > 0:
        part = read(fd, min(count, 65536))
        if not part: exit(0)
        parts.append(part)
        count -= len(part)
    return b''.join(parts)

def receive():
    header = b''
    while not header.endswith(b'\n'): header += _read(1)
    kind, length = header.split()
    return kind.decode(), _read(int(length))

def send(kind, payload, write=os.write, fd=_out):
    data = b'%s %d\n' % (kind.encode(), len(payload)) + payload
    while data: data = data[write(fd, data):]
)PY";

constexpr const char* kValues = R"PY(
_SETS = (set, frozenset, type({}.keys()), type({}.items()))
_ITERATORS = tuple(type(i) for i in (iter([]), iter(()), iter({}), iter(''), iter(set()),
    iter(range(0)), map(int, ()), filter(int, ()), zip(), enumerate(()), reversed([]),
    (x for x in ())))

class TooLarge(ValueError): pass

class Encoder:
    def __init__(self, limit):
        self.parts, self.room = [], limit

    def put(self, part):
        self.room -= len(part)
        if self.room < 0: raise TooLarge('the value is too large')
        self.parts.append(part)

    def text(self, tag, data):
        self.put(b'%s%d:' % (tag, len(data)))
        self.put(data)

    def items(self, tag, items, depth):
        self.put(b'%s%d:' % (tag, len(items)))
        for item in items: self.value(item, depth + 1)

    def value(self, v, depth=0):
        if depth > 90: raise TooLarge('the value is nested too deep')
        if v is None: self.put(b'N')
        elif v is True: self.put(b'T')
        elif v is False: self.put(b'F')
        elif isinstance(v, int): self.put(b'i%x;' % int.__add__(v, 0))
        elif isinstance(v, float): self.put(b'f%s;' % float.hex(v).encode())
        elif isinstance(v, complex):
            self.put(b'c%s;%s;' % (v.real.hex().encode(), v.imag.hex().encode()))
        elif isinstance(v, str): self.text(b's', str.encode(v, 'utf-8', 'surrogatepass'))
        elif isinstance(v, (bytes, bytearray)): self.text(b'b', bytes(v))
        elif isinstance(v, tuple): self.items(b't', list(tuple.__iter__(v)), depth)
        elif isinstance(v, list): self.items(b'l', list(list.__iter__(v)), depth)
        elif isinstance(v, _SETS): self.items(b'S', list(v), depth)
        elif isinstance(v, dict):
            entries = list(dict.items(v))
            self.put(b'd%d:' % len(entries))
            for key, item in entries:
                self.value(key, depth + 1)
                self.value(item, depth + 1)
        elif isinstance(v, _ITERATORS):
            items = []
            for item in v:
                items.append(item)
                if len(items) > self.room: raise TooLarge('the iterator does not end')
            self.items(b'g', items, depth)
        elif type(v).__name__ in ('Fraction', 'Decimal'): self.number(v)
        else: self.other(v)

    def number(self, v):  # as the int or float that equals it, if one does
        for plain in (int, float):
            try: equal = plain(v)
            except Exception: continue
            if equal == v: return self.value(equal)
        self.other(v)

    def other(self, v):
        self.text(b'o', type(v).__name__.encode('utf-8', 'replace')[:80])

def encode(v, limit, kind=Encoder):
    encoder = kind(limit)
    encoder.value(v)
    return b''.join(encoder.parts)

class Foreign:
    def __init__(self, name): self.name = name
    def __repr__(self): return '<%s>' % self.name

class Decoder:
    def __init__(self, data): self.data, self.at = data, 0

    def until(self, end):
        stop = self.data.index(end, self.at)
        part, self.at = self.data[self.at:stop], stop + 1
        return part

    def count(self):
        count = int(self.until(b':'))
        if not 0 <= count <= len(self.data) - self.at: raise ValueError('broken value')
        return count

    def text(self):
        count = self.count()
        self.at += count
        return self.data[self.at - count:self.at]

    def real(self): return float.fromhex(self.until(b';').decode())

    def object(self, text): raise ValueError('broken value')

    def value(self, depth=0):
        if depth > 100: raise ValueError('broken value')
        tag = self.data[self.at:self.at + 1]
        self.at += 1
        if tag in b'NTF' and tag: return {b'N': None, b'T': True, b'F': False}[tag]
        if tag == b'i': return int(self.until(b';'), 16)
        if tag == b'f': return self.real()
        if tag == b'c': return complex(self.real(), self.real())
        if tag == b's': return self.text().decode('utf-8', 'surrogatepass')
        if tag == b'b': return self.text()
        if tag == b'o': return Foreign(self.text().decode('utf-8', 'replace'))
        if tag == b'r': return self.object(self.text().decode('utf-8', 'replace'))
        count = self.count()
        if tag == b'd':
            return {self.value(depth + 1): self.value(depth + 1) for _ in range(count)}
        items = [self.value(depth + 1) for _ in range(count)]
        if tag == b't': return tuple(items)
        if tag == b'S': return set(items)
        if tag == b'g': return iter(items)
        if tag == b'l': return items
        raise ValueError('broken value')

def decode(data):
    return Decoder(data).value()

def describe(error):
    try: text = str(error)
    except BaseException: text = ''
    name = type(error).__name__
    return (name + '\n' + text[:300]).encode('utf-8', 'replace')
)PY";

constexpr const char* kStudent = R"PY(
import _signal, builtins

class _OutOfTime(BaseException): pass

_objects = {}  # by their ids, kept so that these stay theirs

class _ObjectEncoder(Encoder):
    def other(self, v):
        _objects[id(v)] = v
        name = type(v).__name__.encode('utf-8', 'replace')[:80]
        self.text(b'r', b'%d %s' % (id(v), name))

class _ObjectDecoder(Decoder):
    def object(self, text): return _objects[int(text)]

_OPERATIONS = {'..get': getattr, '..set': setattr, '..call': lambda f, *a, **k: f(*a, **k)}

def _main(cpu_s, wall_s, limit):
    def expire(*_): raise _OutOfTime
    timers = ((_signal.ITIMER_PROF, _signal.SIGPROF, cpu_s),
              (_signal.ITIMER_REAL, _signal.SIGALRM, wall_s))
    set_timer, set_handler = _signal.setitimer, _signal.signal
    builtins.exit = builtins.quit = sys.exit  # which `site` would have put there
    module = type(sys)('solution')
    sys.modules['solution'] = module
    space = module.__dict__
    expired = 0

    def perform(kind, payload):
        if kind == 'C':
            exec(compile(payload.decode(), '<solution>', 'exec'), space)
            return 'V', b'N'
        if kind == 'E':
            value = eval(compile(payload.decode().strip(), '<call>', 'eval'), space)
            return 'V', encode(value, limit)
        name, data = payload.split(b'\n', 1)
        name = name.decode()
        args, kwargs = _ObjectDecoder(data).value()
        value = (_OPERATIONS.get(name) or space[name.lstrip('.')])(*args, **kwargs)
        kept = [a if isinstance(a, (list, dict, set, bytearray)) else None for a in args]
        return 'M', encode(
            (value, kept), limit, _ObjectEncoder if name[0] == '.' else Encoder)

    def attempt(kind, payload):
        try:
            try:
                for timer, signal, seconds in timers:
                    set_handler(signal, expire)
                    set_timer(timer, seconds)
                return perform(kind, payload)
            finally:
                for timer, _, _ in timers: set_timer(timer, 0)
        except _OutOfTime:
            return 'T', b''
        except BaseException as error:
            return 'X', describe(error)

    while True:
        kind, payload = receive()
        if expired >= 2:
            send('T', b'')
            continue
        try: reply = attempt(kind, payload)
        except _OutOfTime: reply = 'T', b''
        expired += reply[0] == 'T'
        send(*reply)
)PY";

// `ask(payload)` sends an A message and returns the reply's kind and payload. Objects
// take part only where `classes` names those that the tests make: else an answer could
// give an object whose methods say what a test wants to hear.
constexpr const char* kProxy = R"PY(
import builtins

class _CannotAsk(Exception): pass

class RemoteError(Exception): pass

class _Remote:
    """An object in the student's box. No == of its own: it equals itself alone."""
    __slots__ = ('_remote', '_operate')

    def __init__(self, text, operate):
        object.__setattr__(self, '_remote', text.partition(' '))
        object.__setattr__(self, '_operate', operate)

    def __repr__(self): return '<%s>' % self._remote[2]

    def __getattr__(self, name):
        if name.startswith('__'): raise AttributeError(name)
        return self._operate('get', self, name)

    def __setattr__(self, name, value): self._operate('set', self, name, value)

    def __call__(self, *args, **kwargs):
        return self._operate('call', self, *args, **kwargs)

class _AskEncoder(Encoder):
    def other(self, v):
        if type(v) is _Remote: self.text(b'r', v._remote[0].encode())
        else: Encoder.other(self, v)

class _ReplyDecoder(Decoder):
    def __init__(self, data, is_object, operate):
        Decoder.__init__(self, data)
        self.is_object, self.operate = is_object, operate

    def object(self, text):
        name = text.partition(' ')[2]
        return _Remote(text, self.operate) if self.is_object(name) else Foreign(name)

def _restore(original, now):
    if isinstance(original, list): original[:] = now
    elif isinstance(original, bytearray): original[:] = now
    elif isinstance(original, (dict, set)):
        original.clear()
        original.update(now)

def _tags(values):
    encoder, tags = _AskEncoder(1 << 30), set()
    text = encoder.text
    def watch(tag, data):
        tags.add(tag)
        text(tag, data)
    encoder.text = watch
    encoder.value(list(values))
    return tags

def _proxy(name, limit, ask, classes=()):
    is_free = name[0] == '.' or name in classes  # may give any object
    def operate(what, *args): return _proxy('.' + what, limit, ask, classes)(*args)
    def is_object(kind): return is_free or kind in classes
    def call(*args, **kwargs):
        try: data = encode((args, kwargs), limit, _AskEncoder)
        except TooLarge: raise _CannotAsk('an argument is too large')
        if b'o' in _tags(args) | _tags(list(kwargs.values())):
            raise _CannotAsk('an argument is no plain value')
        kind, payload = ask(('.' if classes else '').encode() + name.encode() + b'\n' + data)
        if kind == 'M':
            value, kept = _ReplyDecoder(payload, is_object, operate).value()
            for original, now in zip(args, kept):
                if now is not None: _restore(original, now)
            return value
        if kind == 'T': raise TimeoutError('ran out of time')
        type_name, _, message = payload.decode('utf-8', 'replace').partition('\n')
        error = getattr(builtins, type_name, None)
        usual = isinstance(error, type) and issubclass(error, Exception)
        raise (error if usual else RemoteError)(message)
    return call
)PY";

constexpr const char* kChecker = R"PY(
_asked = []

def _ask(payload):
    _asked.append(True)
    send('A', payload)
    return receive()

def _set_up(space, payload, limit):  # what is wrong: the kind of verdict, the message
    names, _, setup = payload.decode().partition('\n')
    name, *classes = names.split(' ')
    own = {n: _proxy(n, limit, _ask, classes) for n in [name] + classes if n}
    space.update(own)
    broken = None
    try: exec(compile(setup, '<setup>', 'exec'), space)
    except BaseException as error:  # where the answer had a part in it, its fault
        message = b'the setup failed: ' + describe(error).replace(b'\n', b': ')
        broken = ('F' if _asked else 'U'), message
    if name: space[name] = own[name]
    if classes: send('P', b'')
    return broken

def _main(limit):
    space, broken = {'__name__': '__main__'}, None
    while True:
        kind, payload = receive()
        if kind == 'C':
            broken = _set_up(space, payload, limit)
            continue
        if broken is not None:
            send(*broken)
            continue
        try:
            exec(compile(payload.decode(), '<test>', 'exec'), dict(space))
            send('P', b'')
        except _CannotAsk as error: send('U', describe(error))
        except BaseException as error: send('F', describe(error))
)PY";

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.6g", value);
  return text;
}

}  // namespace

std::string grader_codec() {
  std::string codec = kPipes;  // in two steps: GCC 12 misreads the sum of two literals
  return codec.append(kValues);
}

std::string student_program(
    double call_cpu_s, double call_wall_s, size_t max_value_bytes) {
  return grader_codec() + kStudent + "_main(" + number(call_cpu_s) + ", " +
         number(call_wall_s) + ", " + std::to_string(max_value_bytes) + ")\n";
}

std::string checker_program(size_t max_value_bytes) {
  return grader_codec() + kProxy + kChecker + "_main(" +
         std::to_string(max_value_bytes) + ")\n";
}

std::string stand_in_module(const std::string& ask, size_t max_value_bytes) {
  return std::string("import os, sys\n") + kValues + kProxy + ask +
         "\ndef __getattr__(name):\n    if name.startswith('__'): raise "
         "AttributeError(name)\n    return _proxy(name, " +
         std::to_string(max_value_bytes) + ", _ask)\n";
}

}  // namespace pupil
