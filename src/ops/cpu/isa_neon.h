// NEON, which every arm64 has: 4 float32 lanes.
//
// A pair of 16-bit codes lies apart here: the low ones of all lanes, then the high
// ones, so that a pair's products need no sum across lanes.

#pragma once

#include <arm_neon.h>
#include <stdint.h>

#include "ops/cpu/half_types.h"

namespace pupil::cpu {
namespace {

struct Isa {
  using Vec = float32x4_t;
  using IVec = int32x4_t;
  static constexpr int kLanes = 4;
  static constexpr int kNarrowVecs = 4, kNarrowRows = 5;
  static constexpr int kWideVecs = 8, kWideRows = 2;
  static constexpr int kCodeVecs = 4, kCodeRows = 5;
  static constexpr int kByteDotBits = 0;
  static constexpr int kPanelFloats = 4096;  // half of the first cache, or a quarter
  static constexpr const char* kName = "neon";

  static Vec zero() { return vdupq_n_f32(0); }
  static Vec set1(float x) { return vdupq_n_f32(x); }
  static Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
  static Vec sub(Vec a, Vec b) { return vsubq_f32(a, b); }
  static Vec mul(Vec a, Vec b) { return vmulq_f32(a, b); }
  static Vec div(Vec a, Vec b) { return vdivq_f32(a, b); }
  static Vec sqrt(Vec a) { return vsqrtq_f32(a); }
  static Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
  static float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  // The second operand where either is NaN, which the instructions for it do not give.
  static Vec max(Vec a, Vec b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static Vec min(Vec a, Vec b) { return vbslq_f32(vcltq_f32(a, b), a, b); }

  static Vec load(const float* p) { return vld1q_f32(p); }
  static Vec load(const Half* p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&p->bits)));
  }
  static Vec load(const Code8* p) {
    int32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    int16x8_t wide = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
  }
  static Vec load(const Bf16* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(&p->bits), 16));
  }
  static void store(float* p, Vec v) { vst1q_f32(p, v); }
  static void store(Half* p, Vec v) {
    vst1_u16(&p->bits, vreinterpret_u16_f16(vcvt_f16_f32(v)));
  }

  // Over the lanes, in any order.
  static float max_lane(Vec v) { return vmaxvq_f32(v); }
  static float sum_lanes(Vec v) { return vaddvq_f32(v); }

  // 2^n for whole n in [-126, 127].
  static Vec pow2(Vec n) {
    int32x4_t bits = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
    return vreinterpretq_f32_s32(vshlq_n_s32(bits, 23));
  }
  static Vec round(Vec v) { return vrndnq_f32(v); }
  // v where x >= limit or x is NaN, else 0.
  static Vec zero_below(Vec x, float limit, Vec v) {
    return vbslq_f32(vcltq_f32(x, set1(limit)), zero(), v);
  }

  // Holds a value in a register at this point of the program.
  static void keep(IVec& v) { asm("" : "+w"(v)); }
  static IVec zero_ints() { return vdupq_n_s32(0); }
  static IVec set1_int(int32_t x) { return vdupq_n_s32(x); }
  static IVec load_ints(const int32_t* p) { return vld1q_s32(p); }
  static void store_ints(int32_t* p, IVec v) { vst1q_s32(p, v); }
  static Vec to_floats(IVec v) { return vcvtq_f32_s32(v); }
  // Rounded to 16 bits each; of two, as pairs (low, high).
  static void store_codes(int16_t* p, Vec v) { vst1_s16(p, codes(v)); }
  static IVec pair_codes(Vec low, Vec high) {
    return vreinterpretq_s32_s16(vcombine_s16(codes(low), codes(high)));
  }
  // The j-th 16-bit pairs of packed words: codes j and j + 16 / kBits.
  template <int kBits>
  static IVec code_pairs(IVec words, int j) {
    auto w = vreinterpretq_u32_s32(words);
    uint16x8_t apart = vcombine_u16(vmovn_u32(w), vshrn_n_u32(w, 16));
    apart = vshlq_u16(apart, vdupq_n_s16(static_cast<int16_t>(-kBits * j)));
    return vreinterpretq_s32_u16(vandq_u16(apart, vdupq_n_u16((1 << kBits) - 1)));
  }
  // sum + the products of two 16-bit pairs; `b` is one pair in every lane.
  static IVec dot_pairs(IVec sum, IVec a, IVec b) {
    int16x8_t x = vreinterpretq_s16_s32(a), pair = vreinterpretq_s16_s32(b);
    sum = vmlal_laneq_s16(sum, vget_low_s16(x), pair, 0);
    return vmlal_high_laneq_s16(sum, x, pair, 1);
  }
  // kLanes codes of one row, whose words lie `step` apart; the first is code `from`.
  template <int kBits>
  static Vec row_codes(const uint32_t* words, int64_t step, int64_t from) {
    (void)step;  // 4 lanes lie in one word
    const int32x4_t shifts = {0, -kBits, -2 * kBits, -3 * kBits};
    uint32x4_t all = vshlq_u32(vdupq_n_u32(words[0] >> (from * kBits)), shifts);
    return vcvtq_f32_u32(vandq_u32(all, vdupq_n_u32((1u << kBits) - 1)));
  }

  // Lanes are rows: r[j] lane i = p[i * stride + j], for j < 4.
  template <class T>
  static void load_columns4(const T* p, int64_t stride, Vec r[4]) {
    Vec rows[4];
    for (int i = 0; i < 4; ++i) rows[i] = load(p + i * stride);
    Vec a = vzip1q_f32(rows[0], rows[2]), b = vzip2q_f32(rows[0], rows[2]);
    Vec c = vzip1q_f32(rows[1], rows[3]), d = vzip2q_f32(rows[1], rows[3]);
    r[0] = vzip1q_f32(a, c);
    r[1] = vzip2q_f32(a, c);
    r[2] = vzip1q_f32(b, d);
    r[3] = vzip2q_f32(b, d);
  }

  static void prefetch(const void* p) { __builtin_prefetch(p); }

 private:
  static int16x4_t codes(Vec v) { return vmovn_s32(vcvtnq_s32_f32(v)); }
};

}  // namespace
}  // namespace pupil::cpu
