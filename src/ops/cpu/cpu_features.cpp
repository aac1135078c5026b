#include "ops/cpu/cpu_features.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace pupil::cpu {
namespace {

bool has_avx2() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
#else
  return false;
#endif
}

bool has_avx512() {
#if defined(__x86_64__)
  return has_avx2() && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

bool has_avx512_vnni() {
#if defined(__x86_64__)
  return has_avx512() && __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

bool has_neon() {
#if defined(__aarch64__)
  return true;
#else
  return false;
#endif
}

#if defined(__aarch64__) && defined(__APPLE__)
bool system_says(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}
#endif

bool has_neon_dot() {
#if defined(__aarch64__) && defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__aarch64__) && defined(__APPLE__)
  return system_says("hw.optional.arm.FEAT_DotProd");
#else
  return false;
#endif
}

bool has_neon_i8mm() {
#if defined(__aarch64__) && defined(__linux__)
  return has_neon_dot() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
#elif defined(__aarch64__) && defined(__APPLE__)
  return has_neon_dot() && system_says("hw.optional.arm.FEAT_I8MM");
#else
  return false;
#endif
}

std::vector<const KernelTable*> available() {
  std::vector<const KernelTable*> tables = {generic_kernels()};
  if (has_avx2()) tables.push_back(avx2_kernels());
  if (has_avx512()) tables.push_back(avx512_kernels());
  if (has_avx512_vnni()) tables.push_back(avx512_vnni_kernels());
  if (has_neon()) tables.push_back(neon_kernels());
  if (has_neon_dot()) tables.push_back(neon_dot_kernels());
  if (has_neon_i8mm()) tables.push_back(neon_i8mm_kernels());
  return tables;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

const KernelTable* named(const std::string& name) {
  for (const auto* table : available())
    if (table->name == name) return table;
  throw std::invalid_argument(
      "[PUPIL_CPU_ISA] this machine has no kernels named '" + name + "', expected " +
      joined(available_isas()));
}

const KernelTable* initial() {
  const char* forced = std::getenv("PUPIL_CPU_ISA");
  return forced && *forced ? named(forced) : available().back();
}

std::atomic<const KernelTable*>& current() {
  static std::atomic<const KernelTable*> table{initial()};
  return table;
}

}  // namespace

const KernelTable& kernels() {
  return *current().load(std::memory_order_relaxed);
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const auto* table : available()) names.emplace_back(table->name);
  return names;
}

void use_isa(const std::string& name) {
  current().store(named(name));
}

}  // namespace pupil::cpu
