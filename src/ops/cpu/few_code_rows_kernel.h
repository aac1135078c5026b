// Up to 8 rows times a quantised W^T in whole numbers: a decode step. Weights are
// unpacked in registers and used there, so the packed matrix is read once and nothing
// else is. The same bits as the micro-kernel's: a group's sum is exact, and the groups
// follow in the same order.

#pragma once

#include "ops/cpu/code_gemm_kernel.h"

namespace pupil::cpu {
namespace {

constexpr int64_t kPrefetchBytes = 1024;  // ahead in a tile: its reader is that fast

/// A group's sum out of pairs of 16-bit products.
template <class V, int kBits>
struct PairSum {
  static constexpr int kParts = 16 / kBits;
  typename V::IVec sum = V::zero_ints();

  static auto part(typename V::IVec word, int j) {
    return V::template code_pairs<kBits>(word, j);
  }
  void add(typename V::IVec part, const int32_t* x, int j) {
    sum = V::dot_pairs(sum, part, V::set1_int(load_int(x + j)));
  }
  // GCC 12 else moves sums to memory and back within the loop over a group.
  void keep() { V::keep(sum); }
  auto total() const { return sum; }
};

/// The same out of fours of 8-bit products, the high bytes and the low ones apart.
template <class V, int kBits>
struct ByteSum {
  static constexpr int kParts = 8 / kBits;
  typename V::IVec high = V::zero_ints(), low = V::zero_ints();

  static auto part(typename V::IVec word, int j) {
    return V::template code_bytes<kBits>(word, j);
  }
  void add(typename V::IVec part, const int32_t* x, int j) {
    high = V::dot_bytes(high, part, V::set1_int(load_int(x + 2 * j)));
    low = V::dot_bytes(low, part, V::set1_int(load_int(x + 2 * j + 1)));
  }
  void keep() {}
  auto total() const { return V::join_bytes(high, low); }
};

// Adds one word of each of kVecs tiles, unpacked, times the rows' codes of it.
template <class V, class Sum, int kRows, int kVecs>
[[gnu::always_inline]] inline void add_word(
    const int32_t* const words[kVecs],
    const int32_t* x,
    int64_t stride,
    Sum sums[kRows][kVecs]) {
  typename V::IVec word[kVecs];
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    V::prefetch(reinterpret_cast<const char*>(words[v]) + kPrefetchBytes);
    word[v] = V::load_ints(words[v]);
  }
#pragma GCC unroll 4
  for (int j = 0; j < Sum::kParts; ++j) {
    typename V::IVec part[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) part[v] = Sum::part(word[v], j);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) sums[r][v].add(part[v], x + r * stride, j);
  }
}

// kRows rows from m on, kVecs * lanes columns from n on, into c.
template <class V, class Sum, int kPerWord, int kRows, int kVecs>
void few_code_rows_block(
    const CodeGemm& g, int64_t m, int64_t n, float* c, int64_t c_stride) {
  const int32_t* words[kVecs];
  typename V::Vec results[kRows][kVecs];
  for (int v = 0; v < kVecs; ++v) {
    words[v] =
        typed<int32_t>(g.b.data) + tiled_at(n + v * V::kLanes, 0, g.b.row_stride);
    for (int r = 0; r < kRows; ++r) results[r][v] = V::zero();
  }
  const int64_t stride = g.a.stride() / 2;
  const auto* x = reinterpret_cast<const int32_t*>(g.a.codes + m * g.a.stride());
  for (int64_t group = 0; group < g.a.groups; ++group) {
    Sum sums[kRows][kVecs];
    for (int64_t w = 0; w < g.a.group_size / kPerWord; ++w, x += kPerWord / 2) {
      add_word<V, Sum, kRows, kVecs>(words, x, stride, sums);
      for (int v = 0; v < kVecs; ++v) words[v] += kTileRows;
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) sums[r][v].keep();
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      auto b = GroupScales<V>::load(g.b, n + v * V::kLanes, group);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        int64_t at = g.a.at(m + r, group);
        auto sum = V::mul(V::to_floats(sums[r][v].total()), V::set1(g.a.scales[at]));
        sum = V::fma(sum, b.scale, results[r][v]);
        results[r][v] = V::fma(V::set1(g.a.sums[at]), b.bias, sum);
      }
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVecs; ++v)
      V::store(c + r * c_stride + v * V::kLanes, results[r][v]);
}

// As many columns at a time as leave every sum of a group in a register: a row's codes
// are loaded and spread once for all of them.
template <class V, int kRows>
constexpr int few_vecs() {
  if (kRows <= kFewByteRows) return kRows == 1 ? 4 : 2;
  return kRows <= V::kCodeRows ? V::kCodeVecs : 1;
}

template <class V, class Sum, int kPerWord, int kRows>
void few_code_rows_tile(const CodeGemm& g, const Tile& t) {
  constexpr int kVecs = few_vecs<V, kRows>();
  float* c = g.c + t.m0 * g.c_stride;
  int64_t n = t.n0;
  for (; n + kVecs * V::kLanes <= t.n1; n += kVecs * V::kLanes)
    few_code_rows_block<V, Sum, kPerWord, kRows, kVecs>(g, t.m0, n, c + n, g.c_stride);
  if constexpr (kVecs == 4)
    for (; n + 2 * V::kLanes <= t.n1; n += 2 * V::kLanes)
      few_code_rows_block<V, Sum, kPerWord, kRows, 2>(g, t.m0, n, c + n, g.c_stride);
  for (; n < t.n1; n += V::kLanes) {
    float buffer[kRows * V::kLanes];
    few_code_rows_block<V, Sum, kPerWord, kRows, 1>(g, t.m0, n, buffer, V::kLanes);
    int64_t columns = t.n1 - n < V::kLanes ? t.n1 - n : V::kLanes;
    copy_block(buffer, V::kLanes, c + n, g.c_stride, kRows, columns);
  }
}

// In bytes for the fewest rows, where there are products of bytes; else in pairs, which
// have half the sums to hold.
template <class V, int kBits, int kRows>
void few_code_rows_of(const CodeGemm& g, const Tile& t) {
  if constexpr (kRows <= kFewByteRows && kBits <= V::kByteDotBits)
    few_code_rows_tile<V, ByteSum<V, kBits>, 32 / kBits, kRows>(g, t);
  else
    few_code_rows_tile<V, PairSum<V, kBits>, 32 / kBits, kRows>(g, t);
}

template <class V, int kBits>
void few_code_rows(const CodeGemm& g, const Tile& t) {
  using TileFn = void (*)(const CodeGemm&, const Tile&);
  static constexpr TileFn kByRows[kFewRows] = {
      few_code_rows_of<V, kBits, 1>,
      few_code_rows_of<V, kBits, 2>,
      few_code_rows_of<V, kBits, 3>,
      few_code_rows_of<V, kBits, 4>,
      few_code_rows_of<V, kBits, 5>,
      few_code_rows_of<V, kBits, 6>,
      few_code_rows_of<V, kBits, 7>,
      few_code_rows_of<V, kBits, 8>};
  kByRows[t.m1 - t.m0 - 1](g, t);
}

template <class V, int kBits>
void code_tile_of(const CodeGemm& g, const Tile& t) {
  if (g.few_rows())
    few_code_rows<V, kBits>(g, t);
  else
    many_code_rows<V, kBits>(g, t);
}

template <class V>
void code_tile(const CodeGemm& g, const Tile& t) {
  if (g.b.format == Format::q4)
    code_tile_of<V, 4>(g, t);
  else
    code_tile_of<V, 8>(g, t);
  const auto& [inner, stride, up, rank] = g.term;
  bool added = rank == 0 || (!g.few_rows() && rank <= kMostAddedRank);
  if (!added)
    gemm_tile<V>({inner, stride, up, g.c, g.c_stride, g.m, g.n, rank, true}, t);
}

}  // namespace
}  // namespace pupil::cpu
