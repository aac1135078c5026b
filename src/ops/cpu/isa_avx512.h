// AVX-512 F, BW, DQ and VL: 16 float32 lanes.

#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "ops/cpu/half_types.h"

namespace pupil::cpu {
namespace {

struct Isa {
  using Vec = __m512;
  using IVec = __m512i;
  static constexpr int kLanes = 16;
  static constexpr int kNarrowVecs = 4, kNarrowRows = 6;
  static constexpr int kWideVecs = 4, kWideRows = 6;
  static constexpr int kCodeVecs = 3, kCodeRows = 8;
  static constexpr int kByteDotBits = 0;
  static constexpr int kPanelFloats = 6144;  // most of the first cache
  static constexpr const char* kName = "avx512";

  static Vec zero() { return _mm512_setzero_ps(); }
  static Vec set1(float x) { return _mm512_set1_ps(x); }
  static Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
  static Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
  static Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
  static Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
  static Vec sqrt(Vec a) { return _mm512_sqrt_ps(a); }
  static Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
  static float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  // The second operand where either is NaN.
  static Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
  static Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }

  static Vec load(const float* p) { return _mm512_loadu_ps(p); }
  static Vec load(const Half* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Vec load(const Code8* p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static Vec load(const Bf16* p) {
    return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
  static void store(Half* p, Vec v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(v, 0));
  }

  // Over the lanes, in any order.
  static float max_lane(Vec v) { return _mm512_reduce_max_ps(v); }
  static float sum_lanes(Vec v) { return _mm512_reduce_add_ps(v); }

  // 2^n for whole n in [-126, 127].
  static Vec pow2(Vec n) {
    __m512i bits = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 23));
  }
  static Vec round(Vec v) {
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // v where x >= limit or x is NaN, else 0.
  static Vec zero_below(Vec x, float limit, Vec v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, set1(limit), _CMP_NLT_UQ), v);
  }

  // Holds a value in a register at this point of the program.
  static void keep(IVec& v) { asm("" : "+v"(v)); }
  static IVec zero_ints() { return _mm512_setzero_si512(); }
  static IVec set1_int(int32_t x) { return _mm512_set1_epi32(x); }
  static IVec load_ints(const int32_t* p) { return _mm512_loadu_si512(p); }
  static void store_ints(int32_t* p, IVec v) { _mm512_storeu_si512(p, v); }
  static Vec to_floats(IVec v) { return _mm512_cvtepi32_ps(v); }
  // Rounded to 16 bits each; of two, as pairs (low, high).
  static void store_codes(int16_t* p, Vec v) {
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(v)));
  }
  static IVec pair_codes(Vec low, Vec high) {
    return _mm512_mask_blend_epi16(
        0xaaaaaaaa,
        _mm512_cvtps_epi32(low),
        _mm512_slli_epi32(_mm512_cvtps_epi32(high), 16));
  }
  // The j-th 16-bit pairs of packed words: codes j and j + 16 / kBits.
  template <int kBits>
  static IVec code_pairs(IVec words, int j) {
    return _mm512_and_si512(
        _mm512_srli_epi32(words, static_cast<unsigned>(kBits * j)),
        _mm512_set1_epi32(kBits == 4 ? 0x000f000f : 0x00ff00ff));
  }
  // sum + the products of two 16-bit pairs.
  static IVec dot_pairs(IVec sum, IVec a, IVec b) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
  }
  // kLanes codes of one row, whose words lie `step` apart; the first is code `from`.
  template <int kBits>
  static Vec row_codes(const uint32_t* words, int64_t step, int64_t from) {
    auto word = [&](int i) { return static_cast<int>(words[i * step]); };
    (void)from;  // 0: 16 lanes begin with a word
    if constexpr (kBits == 4) {
      const __m512i shifts =
          _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
      __m512i both =
          _mm512_inserti32x8(_mm512_set1_epi32(word(0)), _mm256_set1_epi32(word(1)), 1);
      return _mm512_cvtepi32_ps(
          _mm512_and_si512(_mm512_srlv_epi32(both, shifts), _mm512_set1_epi32(15)));
    }
    __m128i bytes = _mm_setr_epi32(word(0), word(1), word(2), word(3));
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
  }

  // Lanes are rows: r[j] lane i = p[i * stride + j], for j < 4.
  template <class T>
  static void load_columns4(const T* p, int64_t stride, Vec r[4]) {
    Vec rows[4];
    for (int i = 0; i < 4; ++i) rows[i] = quad4(p + i * stride, 4 * stride);
    Vec a = _mm512_unpacklo_ps(rows[0], rows[1]),
        b = _mm512_unpackhi_ps(rows[0], rows[1]);
    Vec c = _mm512_unpacklo_ps(rows[2], rows[3]),
        d = _mm512_unpackhi_ps(rows[2], rows[3]);
    r[0] = _mm512_shuffle_ps(a, c, 0x44);
    r[1] = _mm512_shuffle_ps(a, c, 0xee);
    r[2] = _mm512_shuffle_ps(b, d, 0x44);
    r[3] = _mm512_shuffle_ps(b, d, 0xee);
  }

  static void prefetch(const void* p) {
    _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
  }

 private:
  static Vec widen(__m256i v) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
  }
  // Four elements of each of four rows, one row in each 128 bits.
  static Vec quad4(const float* p, int64_t stride) {
    Vec v = _mm512_castps128_ps512(_mm_loadu_ps(p));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(p + stride), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 2 * stride), 2);
    return _mm512_insertf32x4(v, _mm_loadu_ps(p + 3 * stride), 3);
  }
  static __m128i load64(const void* p) {
    return _mm_loadl_epi64(static_cast<const __m128i*>(p));
  }
  template <class T>
  static __m256i quad_halves(const T* p, int64_t stride) {
    __m128i low = _mm_unpacklo_epi64(load64(p), load64(p + stride));
    __m128i high = _mm_unpacklo_epi64(load64(p + 2 * stride), load64(p + 3 * stride));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
  }
  static Vec quad4(const Half* p, int64_t stride) {
    return _mm512_cvtph_ps(quad_halves(p, stride));
  }
  static Vec quad4(const Bf16* p, int64_t stride) {
    return widen(quad_halves(p, stride));
  }
};

}  // namespace
}  // namespace pupil::cpu
