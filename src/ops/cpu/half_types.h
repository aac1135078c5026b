// 16-bit floats as kernels see them, and their conversion one at a time.

#pragma once

#include <stdint.h>

namespace pupil::cpu {
namespace {

struct Half {
  uint16_t bits;
};
struct Bf16 {
  uint16_t bits;
};

/// A whole number of 8 bits that kernels load as a float.
struct Code8 {
  int8_t value;
};

inline float from_bits(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

inline uint32_t to_bits(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float to_float(float x) {
  return x;
}

inline float to_float(Code8 x) {
  return x.value;
}

inline float to_float(Bf16 x) {
  return from_bits(static_cast<uint32_t>(x.bits) << 16);
}

// Shifts the mantissa into place and rescales; 2^112 turns a half's exponent bias into
// a float's, and makes its subnormals right. Infinities and NaN are put back after.
inline float to_float(Half x) {
  uint32_t magnitude = static_cast<uint32_t>(x.bits & 0x7fff) << 13;
  uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000) << 16;
  float value = from_bits(magnitude) * from_bits(0x77800000u);
  if ((x.bits & 0x7c00) == 0x7c00) value = from_bits(magnitude | 0x7f800000u);
  return from_bits(to_bits(value) | sign);
}

// Both round to nearest, ties to even.
inline Bf16 to_bf16(float x) {
  uint32_t bits = to_bits(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u)
    return {static_cast<uint16_t>((bits >> 16) | 0x40)};  // a quiet NaN
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

// The sum with a power of two that is 2^13 times the result's last place leaves the
// rounded mantissa in the low bits; after "Half to float done quick" by F. Giesen.
inline Half to_half(float x) {
  uint32_t bits = to_bits(x), sign = bits & 0x80000000u, magnitude = bits ^ sign;
  uint32_t half;
  if (magnitude >= 0x47800000u) {  // 65536 and above, infinity, NaN
    half = magnitude > 0x7f800000u ? 0x7e00 : 0x7c00;
  } else if (magnitude < 0x38800000u) {  // subnormal
    half = to_bits(from_bits(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    half = (magnitude - 0x38000000u + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  }
  return {static_cast<uint16_t>(half | (sign >> 16))};
}

}  // namespace
}  // namespace pupil::cpu
