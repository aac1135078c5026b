// AVX-512 with VNNI: products of bytes and of 16-bit pairs, summed in one instruction.

#pragma once

#include "ops/cpu/isa_avx512.h"

namespace pupil::cpu {
namespace {

struct IsaVnni : Isa {
  static constexpr int kByteDotBits = 8;
  static constexpr const char* kName = "avx512vnni";

  static IVec dot_pairs(IVec sum, IVec a, IVec b) {
    asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
  }
  // sum + the products of four bytes, those of `a` without a sign.
  static IVec dot_bytes(IVec sum, IVec a, IVec b) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
  }
  // The j-th bytes of packed words: codes j, j + 2, j + 4, j + 6, or all four.
  template <int kBits>
  static IVec code_bytes(IVec words, int j) {
    if constexpr (kBits == 8) return words;
    return _mm512_and_si512(
        _mm512_srli_epi32(words, static_cast<unsigned>(4 * j)),
        _mm512_set1_epi32(0x0f0f0f0f));
  }
  // 256 high + low
  static IVec join_bytes(IVec high, IVec low) {
    return _mm512_add_epi32(_mm512_slli_epi32(high, 8), low);
  }
};

}  // namespace
}  // namespace pupil::cpu
