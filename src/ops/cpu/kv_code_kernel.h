// One group of a key or a value in 8 bits; see ops/kv_codes.h.

#pragma once

#include <stdint.h>

#include "ops/cpu/half_types.h"

namespace pupil::cpu {
namespace {

constexpr float kMostCode = 127.0f, kLeastScale = 0x1p-100f;

// NaN if a number of the group is not finite, whose bits are the largest.
inline float kv_scale(const float* x, int64_t n) {
  constexpr uint32_t kInfinity = 0x7f800000u;
  uint32_t most = 0;
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits = to_bits(x[i]) & 0x7fffffffu;
    most = bits > most ? bits : most;
  }
  if (most >= kInfinity) return __builtin_nanf("");
  float scale = to_float(to_bf16(from_bits(most) / kMostCode));
  return scale < kLeastScale ? kLeastScale : scale;
}

// A whole number of -127 to 127, or NaN: the sum leaves no bits for a fraction.
inline float kv_code(float x, float scale) {
  constexpr float kMagic = 12582912.0f;
  float code = (x / scale + kMagic) - kMagic;
  code = code > kMostCode ? kMostCode : code;
  return code < -kMostCode ? -kMostCode : code;
}

inline void round_kv_group(const float* x, int64_t n, float* out) {
  float scale = kv_scale(x, n);
  for (int64_t i = 0; i < n; ++i) out[i] = kv_code(x[i], scale) * scale;
}

// NaN has the code 0.
inline float code_kv_group(const float* x, int64_t n, int8_t* codes) {
  float scale = kv_scale(x, n);
  for (int64_t i = 0; i < n; ++i) {
    float code = kv_code(x[i], scale);
    codes[i] = static_cast<int8_t>(code == code ? code : 0.0f);
  }
  return scale;
}

}  // namespace
}  // namespace pupil::cpu
