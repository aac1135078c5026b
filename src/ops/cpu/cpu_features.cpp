#include "ops/cpu/cpu_features.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

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

std::vector<const KernelTable*> available() {
  std::vector<const KernelTable*> tables = {generic_kernels()};
  if (has_avx2()) tables.push_back(avx2_kernels());
  if (has_avx512()) tables.push_back(avx512_kernels());
  if (has_avx512_vnni()) tables.push_back(avx512_vnni_kernels());
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
