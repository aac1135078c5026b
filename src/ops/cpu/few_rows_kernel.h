// Up to 8 rows times a quantised W^T: a decode step. Weights are unpacked in registers
// and used there, so the packed matrix is read once and nothing else is. The sums are
// those of the micro-kernel, bit for bit: the same weights, k ascending.

#pragma once

#include "ops/cpu/gemm_kernel.h"

namespace pupil::cpu {
namespace {

constexpr int kFewRows = 8;
constexpr int64_t kPrefetchBytes = 1024;  // ahead in a tile: its reader is that fast

// Adds one word's codes, unpacked, times `x` of each row.
template <class V, int kBits, int kRows, int kVecs>
[[gnu::always_inline]] inline void add_word(
    const typename V::IVec codes[kVecs],
    const GroupScales<V> groups[kVecs],
    const float* x,
    int64_t x_stride,
    typename V::Vec acc[kRows][kVecs]) {
#pragma GCC unroll 8
  for (int j = 0; j < 32 / kBits; ++j) {
    typename V::Vec weight[kVecs];
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v)
      weight[v] =
          V::fma(V::template code<kBits>(codes[v], j), groups[v].scale, groups[v].bias);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      auto value = V::set1(x[r * x_stride + j]);
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) acc[r][v] = V::fma(value, weight[v], acc[r][v]);
    }
  }
}

// kRows rows of C from m on, kVecs * lanes columns from n on.
template <class V, int kBits, int kRows, int kVecs>
void few_rows_block(const Gemm& g, int64_t m, int64_t n) {
  constexpr int kPerWord = 32 / kBits;
  typename V::Vec acc[kRows][kVecs];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVecs; ++v) acc[r][v] = V::zero();
  const float* words[kVecs];
  for (int v = 0; v < kVecs; ++v)
    words[v] = typed<float>(g.b.data) + tiled_at(n + v * V::kLanes, 0, g.b.row_stride);
  const float* x = g.a + m * g.a_stride;
  GroupScales<V> groups[kVecs];
  int64_t group = 0, left = 0;
  for (int64_t k = 0; k < g.k; k += kPerWord, x += kPerWord, left -= kPerWord) {
    if (left == 0) {
      for (int v = 0; v < kVecs; ++v)
        groups[v] = GroupScales<V>::load(g.b, n + v * V::kLanes, group);
      ++group;
      left = g.b.group_size;
    }
    typename V::IVec codes[kVecs];
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      V::prefetch(reinterpret_cast<const char*>(words[v]) + kPrefetchBytes);
      codes[v] = V::as_int(V::load(words[v]));
      words[v] += kTileRows;
    }
    add_word<V, kBits, kRows, kVecs>(codes, groups, x, g.a_stride, acc);
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVecs; ++v)
      V::store(g.c + (m + r) * g.c_stride + n + v * V::kLanes, acc[r][v]);
}

// As many columns at a time as leave every accumulator in a register.
template <class V, int kBits, int kRows>
void few_rows_tile(const Gemm& g, const Tile& t) {
  constexpr bool kWide = V::kLanes == 16;  // 32 registers, not 16
  constexpr int kVecs = kRows == 1 ? 4 : kWide || kRows <= 4 ? 2 : 1;
  int64_t n = t.n0;
  for (; n + kVecs * V::kLanes <= t.n1; n += kVecs * V::kLanes)
    few_rows_block<V, kBits, kRows, kVecs>(g, t.m0, n);
  for (; n + V::kLanes <= t.n1; n += V::kLanes)
    few_rows_block<V, kBits, kRows, 1>(g, t.m0, n);
  if (n < t.n1) multiply_tile<V, V::kWideVecs, V::kWideRows>(g, {t.m0, t.m1, n, t.n1});
}

template <class V, int kBits>
void few_rows(const Gemm& g, const Tile& t) {
  using TileFn = void (*)(const Gemm&, const Tile&);
  static constexpr TileFn kByRows[kFewRows] = {
      few_rows_tile<V, kBits, 1>,
      few_rows_tile<V, kBits, 2>,
      few_rows_tile<V, kBits, 3>,
      few_rows_tile<V, kBits, 4>,
      few_rows_tile<V, kBits, 5>,
      few_rows_tile<V, kBits, 6>,
      few_rows_tile<V, kBits, 7>,
      few_rows_tile<V, kBits, 8>};
  kByRows[t.m1 - t.m0 - 1](g, t);
}

template <class V>
void gemm_tile(const Gemm& g, const Tile& t) {
  int64_t rows = t.m1 - t.m0;
  if (rows <= kFewRows && g.b.transposed && !g.accumulate) {
    if (g.b.format == Format::q4) return few_rows<V, 4>(g, t);
    if (g.b.format == Format::q8) return few_rows<V, 8>(g, t);
  }
  if (rows <= V::kWideRows)
    multiply_tile<V, V::kWideVecs, V::kWideRows>(g, t);
  else
    multiply_tile<V, V::kNarrowVecs, V::kNarrowRows>(g, t);
}

}  // namespace
}  // namespace pupil::cpu
