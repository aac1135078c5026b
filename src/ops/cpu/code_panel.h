// Panels of a quantised weight as whole numbers, for the micro-kernel: pairs of 16-bit
// codes, each with the one it is added to, and the scale of each group and column.

#pragma once

#include "ops/cpu/code_types.h"
#include "ops/cpu/tile_layout.h"

namespace pupil::cpu {
namespace {

// A pair of A's codes, or four bytes of them.
inline int32_t load_int(const int32_t* p) {
  int32_t value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

constexpr int64_t kCodeDepth = 256;  // of a panel; every group size divides it

/// Where a panel lies in B, and its memory.
template <class V>
struct CodePanel {
  static constexpr int64_t kWidth = V::kCodeVecs * V::kLanes;
  static constexpr int64_t kMostGroups = kCodeDepth / 32;
  int64_t k0, kc;  // rows of B
  int64_t n0, n;   // columns of B; n of the panel's are real
  alignas(64) int32_t codes[kCodeDepth / 2 * kWidth];
  alignas(64) float scales[kMostGroups * kWidth];
  alignas(64) float biases[kMostGroups * kWidth];

  void set_place(int64_t k, int64_t rows, int64_t n_first, int64_t columns) {
    k0 = k, kc = rows, n0 = n_first, n = columns;
  }
  int64_t groups(int64_t group_size) const {
    return (kc + group_size - 1) / group_size;
  }
};

// x W^T: the codes as they are. Lanes are rows of W.
template <class V, int kBits>
void unpack_panel(const MatrixB& b, CodePanel<V>& p) {
  constexpr int kPerWord = 32 / kBits, kPairs = kPerWord / 2;
  constexpr int64_t kWidth = CodePanel<V>::kWidth;
  for (int64_t c = 0; c < kWidth; c += V::kLanes) {
    // Columns past the matrix repeat the last: nobody reads what they give.
    int64_t row = p.n0 + (c < p.n ? c : (p.n - 1) / V::kLanes * V::kLanes);
    const auto* words =
        typed<int32_t>(b.data) + tiled_at(row, p.k0 / kPerWord, b.row_stride);
    for (int64_t w = 0; w < p.kc / kPerWord; ++w) {
      auto word = V::load_ints(words + w * kTileRows);
#pragma GCC unroll 4
      for (int j = 0; j < kPairs; ++j)
        V::store_ints(
            p.codes + (w * kPairs + j) * kWidth + c,
            V::template code_pairs<kBits>(word, j));
    }
    for (int64_t g = 0; g < p.groups(b.group_size); ++g) {
      auto group = GroupScales<V>::load(b, row, p.k0 / b.group_size + g);
      V::store(p.scales + g * kWidth + c, group.scale);
      V::store(p.biases + g * kWidth + c, group.bias);
    }
  }
}

// kLanes weights of row `row` of W from column `n` on, as float32; 0 past its rows.
template <class V, int kBits>
typename V::Vec row_weights(const MatrixB& b, int64_t row, int64_t rows, int64_t n) {
  constexpr int kPerWord = 32 / kBits;
  if (row >= rows) return V::zero();
  int64_t at = tiled_at(row, n / b.group_size, b.groups_per_row);
  auto scale = V::set1(load_float(b.scales, b.scale_format, at));
  auto bias = V::set1(load_float(b.biases, b.scale_format, at));
  const auto* words =
      typed<uint32_t>(b.data) + tiled_at(row, n / kPerWord, b.row_stride);
  return V::fma(
      V::template row_codes<kBits>(words, kTileRows, n % kPerWord), scale, bias);
}

// dy W: a column's scale belongs to a row of W, which is summed over here. So weights
// are unpacked and coded anew, to 13 bits of the largest of 32 in a column.
template <class V, int kBits>
void recode_panel(const MatrixB& b, int64_t rows, CodePanel<V>& p) {
  constexpr int64_t kWidth = CodePanel<V>::kWidth;
  for (int64_t g = 0; g < p.groups(kBackwardGroup); ++g)
    for (int64_t c = 0; c < kWidth; c += V::kLanes) {
      // Columns past the matrix repeat its last lanes.
      int64_t n = p.n0 + (c < p.n ? c : p.n - V::kLanes);
      typename V::Vec weights[kBackwardGroup], largest = V::set1(1e-30f);
      for (int r = 0; r < kBackwardGroup; ++r) {
        auto w = row_weights<V, kBits>(b, p.k0 + g * kBackwardGroup + r, rows, n);
        largest = V::max(V::max(w, V::sub(V::zero(), w)), largest);
        weights[r] = w;
      }
      auto inverse = V::div(V::set1(kWeightLimit), largest);
      int32_t* codes = p.codes + g * kBackwardGroup / 2 * kWidth + c;
      for (int r = 0; r < kBackwardGroup; r += 2)
        V::store_ints(
            codes + r / 2 * kWidth,
            V::pair_codes(
                V::mul(weights[r], inverse), V::mul(weights[r + 1], inverse)));
      V::store(p.scales + g * kWidth + c, V::mul(largest, V::set1(1 / kWeightLimit)));
    }
}

}  // namespace
}  // namespace pupil::cpu
