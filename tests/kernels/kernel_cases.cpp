#include "kernels/kernel_cases.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "ops/cpu/cpu_features.h"

namespace pupil::kernel_cases {

double Outcome::error() const {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (found.size() != expected.size() || found.size() != scale.size()) return kInfinity;
  double largest = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    double a = found[i], b = expected[i];
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    double error = std::abs(a - b) / scale[i];
    largest = std::isnan(error) ? kInfinity : std::max(largest, error);
  }
  return largest;
}

uint64_t Outcome::hash() const {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a, of 32-bit words
  for (float value : found) {
    uint32_t bits = 0x7fc00000u;
    if (!std::isnan(value)) std::memcpy(&bits, &value, sizeof bits);
    hash = (hash ^ bits) * 0x100000001b3u;
  }
  return hash;
}

Outcomes all_cases(const cpu::KernelTable& table) {
  Outcomes all;
  for (auto* cases :
       {dense_cases,
        code_cases,
        convert_cases,
        row_cases,
        softmax_cases,
        head_cases,
        unpack_cases,
        optimizer_cases,
        attention_cases,
        coded_attention_cases})
    for (auto& outcome : cases(table)) all.push_back(std::move(outcome));
  return all;
}

const char* rounding(const cpu::KernelTable& table) {
  return std::string(table.name) == "generic" ? "twice" : "fused";
}

std::vector<const cpu::KernelTable*> tables() {
  std::vector<const cpu::KernelTable*> all;
  std::string before = cpu::kernels().name;
  for (const auto& isa : cpu::available_isas()) {
    cpu::use_isa(isa);
    all.push_back(&cpu::kernels());
  }
  cpu::use_isa(before);
  return all;
}

}  // namespace pupil::kernel_cases
