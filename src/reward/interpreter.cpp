#include "reward/interpreter.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/process.h"

extern char** environ;

namespace pupil {
namespace {

// Prints the Interpreter as JSON. Modules are imported for their shared libraries,
// which the memory map then names.
constexpr const char* kAsk = R"(
import os, sys, json
for name in ('_ssl _hashlib _ctypes _decimal _bz2 _lzma zlib math _json resource '
             '_sqlite3 select _uuid').split():
    try: __import__(name)
    except ImportError: pass
real = os.path.realpath
exe = real(sys.executable)
needed = {exe, real(os.path.dirname(os.__file__))}
needed |= {real(p) for p in sys.path if p.endswith('lib-dynload') and os.path.isdir(p)}
if sys.platform == 'darwin':
    needed |= {real(sys.base_prefix), real(sys.base_exec_prefix)}
else:
    for line in open('/proc/self/maps'):
        path = line.split(None, 5)[-1].strip()
        if path.startswith('/') and '.so' in path:
            needed.add(real(os.path.dirname(path)))
    for loader in ('/lib64/ld-linux-x86-64.so.2', '/lib/ld-linux-aarch64.so.1',
                   '/lib/ld-linux-riscv64-lp64d.so.1'):
        if os.path.exists(loader):
            needed.add(os.path.join(real(os.path.dirname(loader)),
                                    os.path.basename(loader)))
def covered(path):
    return any(path != p and path.startswith(p + '/') for p in needed)
links = [(p, os.readlink(p)) for p in ('/lib', '/lib64', '/lib32')
         if os.path.islink(p)]
print(json.dumps({'path': exe, 'version': '%d.%d.%d' % sys.version_info[:3],
                  'new_enough': sys.version_info >= (3, 8), 'links': links,
                  'read_only': sorted(p for p in needed if not covered(p))}))
)";

std::vector<std::string> own_environment() {
  std::vector<std::string> result;
  for (char** entry = environ; entry && *entry; ++entry) result.emplace_back(*entry);
  return result;
}

/// Adds what the interpreter at `path` says of itself, if it works and is new.
void ask(const std::string& path, std::vector<Interpreter>& found) {
  ProcessOptions options;
  options.argv = {path, "-I", "-S", "-B", "-c", kAsk};
  options.environment = own_environment();
  const auto result = run_process(options);
  const auto reply = nlohmann::json::parse(result.output, nullptr, false);
  if (result.exit_code != 0 || !reply.is_object() || !reply.at("new_enough")) return;
  Interpreter answer{
      reply.at("path"),
      reply.at("version"),
      reply.at("read_only"),
      reply.at("links"),
      Language::python};
  auto same = [&](const Interpreter& other) { return other.path == answer.path; };
  if (std::none_of(found.begin(), found.end(), same)) found.push_back(answer);
}

}  // namespace

std::vector<Interpreter> find_interpreters() {
  std::vector<Interpreter> found;
  std::vector<std::string> asked;
  for (const char* name : {"python3", "/usr/bin/python3", "/usr/local/bin/python3"}) {
    const std::string path = find_program(name);
    if (path.empty() || std::count(asked.begin(), asked.end(), path)) continue;
    asked.push_back(path);
    ask(path, found);
  }
  return found;
}

}  // namespace pupil
