// NEON with dot products of four bytes: signed ones (the extension dotprod), and where
// the target has i8mm, of bytes without a sign with signed ones.

#pragma once

#include "ops/cpu/isa_neon.h"

namespace pupil::cpu {
namespace {

struct IsaDot : Isa {
  static constexpr int kByteDotBits = 4;  // a code of 8 bits is no signed byte
  static constexpr const char* kName = "neondot";

  // sum + the products of four bytes, those of `a` below 128.
  static IVec dot_bytes(IVec sum, IVec a, IVec b) {
    return vdotq_s32(sum, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b));
  }
  // The j-th bytes of packed words: codes j, j + 2, j + 4, j + 6, or all four.
  template <int kBits>
  static IVec code_bytes(IVec words, int j) {
    if constexpr (kBits == 8) return words;
    auto w = vreinterpretq_u8_s32(words);
    return vreinterpretq_s32_u8(
        j == 0 ? vandq_u8(w, vdupq_n_u8(15)) : vshrq_n_u8(w, 4));
  }
  // 256 high + low
  static IVec join_bytes(IVec high, IVec low) {
    return vaddq_s32(vshlq_n_s32(high, 8), low);
  }
};

#if defined(__ARM_FEATURE_MATMUL_INT8)
struct IsaI8mm : IsaDot {
  static constexpr int kByteDotBits = 8;
  static constexpr const char* kName = "neoni8mm";

  // sum + the products of four bytes, those of `a` without a sign.
  static IVec dot_bytes(IVec sum, IVec a, IVec b) {
    return vusdotq_s32(sum, vreinterpretq_u8_s32(a), vreinterpretq_s8_s32(b));
  }
};
#endif

}  // namespace
}  // namespace pupil::cpu
