// Inputs that are the same on every machine, and plain copies of the kernels' formats.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "ops/cpu/kernel_table.h"

namespace pupil::kernel_cases {

/// Pseudo-random numbers (SplitMix64, S. Vigna).
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed) {}

  uint32_t bits() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<uint32_t>((z ^ (z >> 31)) >> 32);
  }

  /// In [-2, 2), in steps of 2^-22.
  float value() {
    return static_cast<float>(static_cast<int>(bits() >> 8) - (1 << 23)) / (1 << 22);
  }

  std::vector<float> values(int64_t count) {
    std::vector<float> all(count);
    for (auto& x : all) x = value();
    return all;
  }

 private:
  uint64_t state_;
};

/// The value of a 16-bit float, from its definition.
inline double float16(uint16_t bits) {
  int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  double sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

inline double bfloat16(uint16_t bits) {
  int exponent = bits >> 7 & 255, mantissa = bits & 127;
  double sign = bits >> 15 ? -1 : 1;
  if (exponent == 255) return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, -133);
  return sign * std::ldexp(128 + mantissa, exponent - 134);
}

/// The nearest value of a format with `digits` bits after the first and exponents from
/// `least` on, ties to even.
inline double nearest(double x, int digits, int least, double largest) {
  if (x == 0 || !std::isfinite(x)) return x;
  int exponent = std::max(std::ilogb(x), least);
  double unit = std::ldexp(1.0, exponent - digits);
  double rounded = std::nearbyint(x / unit) * unit;
  return std::abs(rounded) > largest ? std::copysign(INFINITY, x) : rounded;
}

inline double nearest_bfloat16(double x) {
  return nearest(x, 7, -126, 3.3895313892515355e38);
}

/// Random values of a format, as bytes for a kernel and as numbers for a reference.
struct FormatValues {
  std::vector<uint16_t> halves;  // f16 and bf16
  std::vector<float> floats;     // f32
  std::vector<double> numbers;

  FormatValues(Numbers& numbers_from, int64_t count, cpu::Format format) {
    for (int64_t i = 0; i < count; ++i) {
      if (format == cpu::Format::f32) {
        floats.push_back(numbers_from.value());
        numbers.push_back(floats.back());
        continue;
      }
      bool half = format == cpu::Format::f16;
      // A sign, an exponent of -4 .. 0, and any mantissa.
      uint32_t bits = numbers_from.bits(), step = bits >> 16 & 3;
      uint32_t exponent = half ? (12 + step) << 10 : (124 + step) << 7;
      uint32_t rest = bits & (half ? 0x83ffu : 0x807fu);
      halves.push_back(static_cast<uint16_t>(exponent | rest));
      numbers.push_back(half ? float16(halves.back()) : bfloat16(halves.back()));
    }
  }

  const void* data() const {
    if (floats.empty()) return halves.data();
    return floats.data();
  }
};

inline const char* format_name(cpu::Format format) {
  constexpr const char* kNames[] = {"f32", "f16", "bf16", "q4", "q8"};
  return kNames[static_cast<int>(format)];
}

}  // namespace pupil::kernel_cases
