#include "app/machine.h"

#include <dlfcn.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <stdexcept>

#include "mlx/device.h"
#include "mlx/memory.h"
#include "mlx/version.h"
#include "ops/cpu/cpu_features.h"
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif
#if defined(__linux__) && defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace pupil {

namespace mx = mlx::core;

namespace {

#if defined(__x86_64__)
std::string features() {
  std::string names;
  const auto add = [&](const char* name, bool has) {
    if (has) names += std::string(names.empty() ? "" : " ") + name;
  };
  add("avx2", __builtin_cpu_supports("avx2"));
  add("fma", __builtin_cpu_supports("fma"));
  add("avx512f", __builtin_cpu_supports("avx512f"));
  add("avx512bw", __builtin_cpu_supports("avx512bw"));
  add("avx512vnni", __builtin_cpu_supports("avx512vnni"));
  add("avx512bf16", __builtin_cpu_supports("avx512bf16"));
  return names.empty() ? "x86-64" : names;
}
#elif defined(__aarch64__) && defined(__linux__)
std::string features() {
  std::string names = "neon";
  if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) names += " dotprod";
  if (getauxval(AT_HWCAP) & HWCAP_SVE) names += " sve";
  if (getauxval(AT_HWCAP2) & HWCAP2_BF16) names += " bf16";
  if (getauxval(AT_HWCAP2) & HWCAP2_I8MM) names += " i8mm";
  return names;
}
#elif defined(__aarch64__)
std::string features() {
  return "neon";
}
#else
std::string features() {
  return "unknown";
}
#endif

// The number that a file begins with; none in "max" or where there is no file.
std::optional<uint64_t> number_in(const std::filesystem::path& file) {
  std::ifstream in(file);
  uint64_t number = 0;
  return in >> number ? std::optional(number) : std::nullopt;
}

// Bytes that one control group still grants; its cached file pages are given back.
uint64_t room_in(
    const std::filesystem::path& group,
    const char* limit_file,
    const char* usage_file) {
  constexpr auto kNoLimit = std::numeric_limits<uint64_t>::max();
  auto limit = number_in(group / limit_file), used = number_in(group / usage_file);
  if (!limit || !used) return kNoLimit;
  uint64_t cached = 0, value = 0;
  std::ifstream stat(group / "memory.stat");
  for (std::string name; stat >> name >> value;)
    if (name == "inactive_file") cached = value;
  uint64_t held = *used - std::min(*used, cached);
  return *limit - std::min(*limit, held);
}

// The least that this process's control group and those above it still grant.
uint64_t container_room() {
  uint64_t room = std::numeric_limits<uint64_t>::max();
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "4:memory:/a/b", "0::/a/b"
    auto colon = line.find(':'), path = line.find(":/");
    if (path == std::string::npos) continue;
    auto controllers = line.substr(colon + 1, path - colon - 1);
    bool v1 = controllers == "memory";
    if (!v1 && !controllers.empty()) continue;
    std::filesystem::path root = v1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
    for (std::filesystem::path at = line.substr(path + 2);; at = at.parent_path()) {
      auto left =
          v1 ? room_in(root / at, "memory.limit_in_bytes", "memory.usage_in_bytes")
             : room_in(root / at, "memory.max", "memory.current");
      room = std::min(room, left);
      if (at.empty()) break;
    }
  }
  return room;
}

}  // namespace

std::string cpu_features_text() {
  return features() + " (kernels: " + cpu::kernels().name + ")";
}

std::string mlx_library_path() {
  Dl_info info{};
  const auto* inside_mlx = reinterpret_cast<const void*>(&mlx::core::version);
  const bool found = dladdr(inside_mlx, &info) != 0 && info.dli_fname != nullptr;
  return found ? info.dli_fname : "an unknown file";
}

uint64_t total_memory_bytes() {
  return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

std::optional<uint64_t> available_memory_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  uint64_t kilobytes = 0;
  while (file >> name >> kilobytes) {
    if (name == "MemAvailable:") return std::min(kilobytes << 10, container_room());
    std::getline(file, unit);
  }
  return std::nullopt;
}

uint64_t peak_memory_bytes() {
  if (mx::default_device() == mx::Device::gpu) return mx::get_peak_memory();
  std::ifstream file("/proc/self/status");
  std::string name, rest;
  while (file >> name) {
    uint64_t kilobytes = 0;
    if (name == "VmHWM:" && file >> kilobytes) return kilobytes << 10;
    std::getline(file, rest);
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss);  // bytes on macOS
}

uint64_t held_memory_bytes() {
  if (mx::default_device() == mx::Device::gpu) return mx::get_active_memory();
  std::ifstream file("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  if (file >> total >> resident) {
    return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  return mx::get_active_memory();
}

uint64_t limit_memory(double gigabytes) {
  auto limit = static_cast<uint64_t>(gigabytes * 1e9);
  if (limit == 0) {
    if (mx::default_device() == mx::Device::gpu) return mx::get_memory_limit();
    auto free = available_memory_bytes().value_or(total_memory_bytes());
    limit = (held_memory_bytes() + free) / 10 * 9;
  }
  mx::set_memory_limit(limit);
  return limit;
}

void reset_peak_memory() {
  mx::reset_peak_memory();
  std::ofstream("/proc/self/clear_refs") << "5";
}

std::string own_executable() {
#ifdef __APPLE__
  char path[4096];
  uint32_t size = sizeof path;
  if (_NSGetExecutablePath(path, &size) == 0) return path;
  throw std::runtime_error("[machine] this program's path is too long");
#else
  return std::filesystem::read_symlink("/proc/self/exe").string();
#endif
}

std::string gigabytes_text(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GB", static_cast<double>(bytes) / 1e9);
  return text;
}

}  // namespace pupil
