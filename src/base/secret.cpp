#include "base/secret.h"

#include <sys/resource.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace pupil {

namespace {

struct Secrets {
  std::mutex mutex;
  std::map<std::string, std::string> values;
};

Secrets& secrets() {
  static Secrets all;
  return all;
}

// A limit of one byte, not of none: Linux hands a core to a program that core_pattern
// names even where the limit is 0.
void leave_no_core() {
  rlimit limit{};
  if (getrlimit(RLIMIT_CORE, &limit) == 0) {
    limit.rlim_cur = std::min<rlim_t>(1, limit.rlim_max);
    setrlimit(RLIMIT_CORE, &limit);
  }
#ifdef __linux__
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

}  // namespace

std::string variable_or_secret(const std::string& name) {
  std::lock_guard lock(secrets().mutex);
  auto hidden = secrets().values.find(name);
  if (hidden != secrets().values.end()) return hidden->second;
  const char* value = std::getenv(name.c_str());
  return value ? value : "";
}

bool hide_variable(const std::string& name) {
  std::lock_guard lock(secrets().mutex);
  char* value = std::getenv(name.c_str());
  if (!value) return false;
  secrets().values[name] = value;
  leave_no_core();
  std::memset(value, 'x', std::strlen(value));
  unsetenv(name.c_str());
  return true;
}

}  // namespace pupil
