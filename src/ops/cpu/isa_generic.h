// Four float32 lanes by the compiler's vector types, for any processor. No fused
// multiply-add: it rounds twice.

#pragma once

#include <stdint.h>

#include "ops/cpu/half_types.h"

namespace pupil::cpu {
namespace {

struct Isa {
  using Vec = float __attribute__((vector_size(16)));
  using IVec = int32_t __attribute__((vector_size(16)));
  static constexpr int kLanes = 4;
  static constexpr int kNarrowVecs = 2, kNarrowRows = 4;
  static constexpr int kWideVecs = 4, kWideRows = 2;
  static constexpr int kCodeVecs = 2, kCodeRows = 4;
  static constexpr int kByteDotBits = 0;
  static constexpr int kPanelFloats = 4096;  // half of the first cache
  static constexpr const char* kName = "generic";

  static Vec zero() { return Vec{0, 0, 0, 0}; }
  static Vec set1(float x) { return Vec{x, x, x, x}; }
  static Vec add(Vec a, Vec b) { return a + b; }
  static Vec sub(Vec a, Vec b) { return a - b; }
  static Vec mul(Vec a, Vec b) { return a * b; }
  static Vec div(Vec a, Vec b) { return a / b; }
  static Vec sqrt(Vec a) {
    for (int i = 0; i < kLanes; ++i) a[i] = __builtin_sqrtf(a[i]);
    return a;
  }
  static Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
  static float fma1(float a, float b, float c) { return a * b + c; }
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

  // Over the lanes, in any order.
  static float max_lane(Vec v) {
    float low = v[0] > v[1] ? v[0] : v[1], high = v[2] > v[3] ? v[2] : v[3];
    return low > high ? low : high;
  }
  static float sum_lanes(Vec v) { return (v[0] + v[1]) + (v[2] + v[3]); }

  // 2^n for whole n in [-126, 127].
  static Vec pow2(Vec n) {
    auto bits = (__builtin_convertvector(n, IVec) + 127) << 23;
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

  // Holds a value in a register at this point of the program.
#if defined(__x86_64__)
  static void keep(IVec& v) { asm("" : "+x"(v)); }
#else
  static void keep(IVec&) {}
#endif
  static IVec zero_ints() { return IVec{0, 0, 0, 0}; }
  static IVec set1_int(int32_t x) { return IVec{x, x, x, x}; }
  static IVec load_ints(const int32_t* p) {
    IVec v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  static void store_ints(int32_t* p, IVec v) { __builtin_memcpy(p, &v, sizeof v); }
  static Vec to_floats(IVec v) { return __builtin_convertvector(v, Vec); }
  // Rounded to 16 bits each; of two, as pairs (low, high).
  static void store_codes(int16_t* p, Vec v) {
    IVec whole = to_ints(v);
    for (int i = 0; i < kLanes; ++i) p[i] = static_cast<int16_t>(whole[i]);
  }
  static IVec pair_codes(Vec low, Vec high) {
    return (to_ints(low) & 0xffff) | (to_ints(high) << 16);
  }
  // The j-th 16-bit pairs of packed words: codes j and j + 16 / kBits.
  template <int kBits>
  static IVec code_pairs(IVec words, int j) {
    return (words >> (kBits * j)) & (kBits == 4 ? 0x000f000f : 0x00ff00ff);
  }
  // sum + the products of two 16-bit pairs.
  static IVec dot_pairs(IVec sum, IVec a, IVec b) {
    return sum + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
  }
  // kLanes codes of one row, whose words lie `step` apart; the first is code `from`.
  template <int kBits>
  static Vec row_codes(const uint32_t* words, int64_t step, int64_t from) {
    (void)step;  // 4 lanes lie in one word
    auto code = [word = words[0], from](int i) {
      return static_cast<float>(word >> ((from + i) * kBits) & ((1u << kBits) - 1));
    };
    return Vec{code(0), code(1), code(2), code(3)};
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
  // v is rounded: whole, or NaN.
  static IVec to_ints(Vec v) { return __builtin_convertvector(round(v), IVec); }
  static Vec pick(IVec mask, Vec yes, Vec no) {
    auto bits =
        (mask & reinterpret_cast<IVec>(yes)) | (~mask & reinterpret_cast<IVec>(no));
    return reinterpret_cast<Vec>(bits);
  }
};

}  // namespace
}  // namespace pupil::cpu
