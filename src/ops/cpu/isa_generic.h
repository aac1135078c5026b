// Four float32 lanes by the compiler's vector types: any x86-64 (without fused
// multiply-add) and arm64 NEON (with it).

#pragma once

#include <stdint.h>
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "ops/cpu/half_types.h"

namespace pupil::cpu {
namespace {

struct Isa {
  using Vec = float __attribute__((vector_size(16)));
  using IVec = uint32_t __attribute__((vector_size(16)));
  using Signed = int32_t __attribute__((vector_size(16)));
  static constexpr int kLanes = 4;
#if defined(__aarch64__)
  static constexpr int kNarrowVecs = 4, kNarrowRows = 6;
  static constexpr int kWideVecs = 8, kWideRows = 3;
  static constexpr const char* kName = "neon";
#else
  static constexpr int kNarrowVecs = 2, kNarrowRows = 4;
  static constexpr int kWideVecs = 4, kWideRows = 2;
  static constexpr const char* kName = "generic";
#endif
  static constexpr int kPanelFloats = 4096;  // half of the first cache

  static Vec zero() { return Vec{0, 0, 0, 0}; }
  static Vec set1(float x) { return Vec{x, x, x, x}; }
  static Vec add(Vec a, Vec b) { return a + b; }
  static Vec sub(Vec a, Vec b) { return a - b; }
  static Vec mul(Vec a, Vec b) { return a * b; }
  static Vec div(Vec a, Vec b) { return a / b; }
#if defined(__aarch64__)
  static Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
  static float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
  static Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
  static float fma1(float a, float b, float c) { return a * b + c; }
#endif
  // The second operand where either is NaN.
  static Vec max(Vec a, Vec b) { return pick(a > b, a, b); }
  static Vec min(Vec a, Vec b) { return pick(a < b, a, b); }

  static Vec load(const float* p) {
    Vec v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  template <class T>
  static Vec load(const T* p) {
    return Vec{to_float(p[0]), to_float(p[1]), to_float(p[2]), to_float(p[3])};
  }
  static void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }
  static void store(Half* p, Vec v) {
    for (int i = 0; i < 4; ++i) p[i] = to_half(v[i]);
  }

  // 2^n for whole n in [-126, 127].
  static Vec pow2(Vec n) {
    auto bits = (__builtin_convertvector(n, Signed) + 127) << 23;
    return reinterpret_cast<Vec>(bits);
  }
  // Right for |v| < 2^22: the sum has no bits left for a fraction.
  static Vec round(Vec v) {
    const Vec magic = set1(12582912.0f);
    return (v + magic) - magic;
  }
  // v where x >= limit or x is NaN, else 0.
  static Vec zero_below(Vec x, float limit, Vec v) {
    return pick(x < set1(limit), zero(), v);
  }

  static IVec as_int(Vec v) { return reinterpret_cast<IVec>(v); }
  // ((v >> shift) & mask) as float.
  static Vec field(IVec v, int shift, int mask) {
    auto bits = (v >> static_cast<uint32_t>(shift)) & static_cast<uint32_t>(mask);
    return __builtin_convertvector(reinterpret_cast<Signed>(bits), Vec);
  }
  // Code `j` of each lane's word, as float.
  template <int kBits>
  static Vec code(IVec words, int j) {
    return field(words, kBits * j, (1 << kBits) - 1);
  }
  // kLanes codes of one row, whose words lie `step` apart; the first is code `from`.
  template <int kBits>
  static Vec row_codes(const uint32_t* words, int64_t step, int64_t from) {
    (void)step;  // 4 lanes lie in one word
    uint32_t word = words[0] >> (from * kBits);
    return field(
        IVec{word, word >> kBits, word >> 2 * kBits, word >> 3 * kBits},
        0,
        (1 << kBits) - 1);
  }

  // Lanes are rows: r[j] lane i = p[i * stride + j], for j < 4.
  template <class T>
  static void load_columns4(const T* p, int64_t stride, Vec r[4]) {
    Vec a = load(p), b = load(p + stride);
    Vec c = load(p + 2 * stride), d = load(p + 3 * stride);
    for (int j = 0; j < 4; ++j) r[j] = Vec{a[j], b[j], c[j], d[j]};
  }

  static void prefetch(const void* p) { __builtin_prefetch(p); }

 private:
  static Vec pick(Signed mask, Vec yes, Vec no) {
    auto bits =
        (mask & reinterpret_cast<Signed>(yes)) | (~mask & reinterpret_cast<Signed>(no));
    return reinterpret_cast<Vec>(bits);
  }
};

}  // namespace
}  // namespace pupil::cpu
