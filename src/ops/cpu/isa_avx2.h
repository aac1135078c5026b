// AVX2 + FMA + F16C: 8 float32 lanes.

#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "ops/cpu/half_types.h"

namespace pupil::cpu {
namespace {

struct Isa {
  using Vec = __m256;
  using IVec = __m256i;
  static constexpr int kLanes = 8;
  static constexpr int kNarrowVecs = 2, kNarrowRows = 6;
  static constexpr int kWideVecs = 4, kWideRows = 3;
  static constexpr int kCodeVecs = 2, kCodeRows = 5;
  static constexpr int kByteDotBits = 0;
  static constexpr int kPanelFloats = 4096;  // half of the first cache
  static constexpr const char* kName = "avx2";

  static Vec zero() { return _mm256_setzero_ps(); }
  static Vec set1(float x) { return _mm256_set1_ps(x); }
  static Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
  static Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
  static Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
  static Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
  static Vec sqrt(Vec a) { return _mm256_sqrt_ps(a); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
  static float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  // The second operand where either is NaN.
  static Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
  static Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }

  static Vec load(const float* p) { return _mm256_loadu_ps(p); }
  static Vec load(const Half* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Vec load(const Code8* p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static Vec load(const Bf16* p) {
    return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
  static void store(Half* p, Vec v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, 0));
  }

  // Over the lanes, in any order.
  static float max_lane(Vec v) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
  }
  static float sum_lanes(Vec v) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
  }

  // 2^n for whole n in [-126, 127].
  static Vec pow2(Vec n) {
    __m256i bits = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
  }
  static Vec round(Vec v) {
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // v where x >= limit or x is NaN, else 0.
  static Vec zero_below(Vec x, float limit, Vec v) {
    return _mm256_and_ps(_mm256_cmp_ps(x, set1(limit), _CMP_NLT_UQ), v);
  }

  // Holds a value in a register at this point of the program.
  static void keep(IVec& v) { asm("" : "+x"(v)); }
  static IVec zero_ints() { return _mm256_setzero_si256(); }
  static IVec set1_int(int32_t x) { return _mm256_set1_epi32(x); }
  static IVec load_ints(const int32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void store_ints(int32_t* p, IVec v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
  }
  static Vec to_floats(IVec v) { return _mm256_cvtepi32_ps(v); }
  // Rounded to 16 bits each; of two, as pairs (low, high).
  static void store_codes(int16_t* p, Vec v) {
    __m256i whole = _mm256_cvtps_epi32(v);
    __m128i packed = _mm_packs_epi32(
        _mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
  }
  static IVec pair_codes(Vec low, Vec high) {
    return _mm256_blend_epi16(
        _mm256_cvtps_epi32(low), _mm256_slli_epi32(_mm256_cvtps_epi32(high), 16), 0xaa);
  }
  // The j-th 16-bit pairs of packed words: codes j and j + 16 / kBits.
  template <int kBits>
  static IVec code_pairs(IVec words, int j) {
    return _mm256_and_si256(
        _mm256_srli_epi32(words, kBits * j),
        _mm256_set1_epi32(kBits == 4 ? 0x000f000f : 0x00ff00ff));
  }
  // sum + the products of two 16-bit pairs.
  static IVec dot_pairs(IVec sum, IVec a, IVec b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
  }
  // kLanes codes of one row, whose words lie `step` apart; the first is code `from`.
  template <int kBits>
  static Vec row_codes(const uint32_t* words, int64_t step, int64_t from) {
    auto word = [&](int i) { return static_cast<int>(words[i * step]); };
    (void)from;  // 0: 8 lanes begin with a word
    if constexpr (kBits == 4) {
      const __m256i shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
      __m256i all = _mm256_srlv_epi32(_mm256_set1_epi32(word(0)), shifts);
      return _mm256_cvtepi32_ps(_mm256_and_si256(all, _mm256_set1_epi32(15)));
    }
    __m128i bytes = _mm_setr_epi32(word(0), word(1), 0, 0);
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
  }

  // Lanes are rows: r[j] lane i = p[i * stride + j], for j < 4.
  template <class T>
  static void load_columns4(const T* p, int64_t stride, Vec r[4]) {
    Vec rows[4];
    for (int i = 0; i < 4; ++i) rows[i] = pair4(p + i * stride, p + (i + 4) * stride);
    Vec a = _mm256_unpacklo_ps(rows[0], rows[1]),
        b = _mm256_unpackhi_ps(rows[0], rows[1]);
    Vec c = _mm256_unpacklo_ps(rows[2], rows[3]),
        d = _mm256_unpackhi_ps(rows[2], rows[3]);
    r[0] = _mm256_shuffle_ps(a, c, 0x44);
    r[1] = _mm256_shuffle_ps(a, c, 0xee);
    r[2] = _mm256_shuffle_ps(b, d, 0x44);
    r[3] = _mm256_shuffle_ps(b, d, 0xee);
  }

  static void prefetch(const void* p) {
    _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
  }

 private:
  static Vec widen(__m128i v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
  }
  static Vec pair4(const float* low, const float* high) {
    return _mm256_insertf128_ps(
        _mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
  }
  static __m128i pair_halves(const void* low, const void* high) {
    return _mm_unpacklo_epi64(
        _mm_loadl_epi64(static_cast<const __m128i*>(low)),
        _mm_loadl_epi64(static_cast<const __m128i*>(high)));
  }
  static Vec pair4(const Half* low, const Half* high) {
    return _mm256_cvtph_ps(pair_halves(low, high));
  }
  static Vec pair4(const Bf16* low, const Bf16* high) {
    return widen(pair_halves(low, high));
  }
};

}  // namespace
}  // namespace pupil::cpu
