// Up to 8 rows times a quantised W^T: a decode step. Weights are unpacked in registers
// and used there, so the packed matrix is read once and nothing else is. The sums are
// those of the micro-kernel, bit for bit: the same weights, k ascending.

#pragma once

#include "ops/cpu/gemm_kernel.h"
#include "ops/cpu/pack.h"

namespace pupil::cpu {
namespace {

constexpr int kFewRows = 8;

template <class V>
using LoadScalesFn = void (*)(
    const MatrixB&,
    const void* from,
    int64_t row,
    int64_t group,
    int count,
    typename V::Vec* out);

template <class V>
LoadScalesFn<V> scale_loader(Format format) {
  if (format == Format::f32) return load_scales<V, float>;
  if (format == Format::f16) return load_scales<V, Half>;
  return load_scales<V, Bf16>;
}

/// The scales and biases of kVecs * lanes rows of W, four groups at a time.
template <class V, int kVecs>
struct ScaleWindow {
  typename V::Vec scales[kVecs][8], biases[kVecs][8];

  void load(const MatrixB& b, LoadScalesFn<V> loader, int64_t n, int64_t group) {
    int64_t left = b.groups_per_row - group;
    int count = left < 4 ? static_cast<int>(left) : 4;
    for (int v = 0; v < kVecs; ++v) {
      loader(b, b.scales, n + v * V::kLanes, group, count, scales[v]);
      loader(b, b.biases, n + v * V::kLanes, group, count, biases[v]);
    }
  }
};

// Scales and biases of the block after the one at column n.
template <class V, int kVecs>
void prefetch_next_scales(const MatrixB& b, int64_t n) {
  int64_t size = b.scale_format == Format::f32 ? 4 : 2;
  int64_t bytes = kVecs * V::kLanes * b.groups_per_row * size;
  int64_t from = (n + kVecs * V::kLanes) * b.groups_per_row * size;
  for (int64_t i = from; i < from + bytes; i += 64) {
    V::prefetch(typed<char>(b.scales) + i);
    V::prefetch(typed<char>(b.biases) + i);
  }
}

/// 32 values of k from `x` on: adds to acc.
template <class V, int kBits, int kRows, int kVecs>
struct Unit {
  using Vec = typename V::Vec;
  static constexpr int kPerWord = 32 / kBits, kMask = (1 << kBits) - 1;

  static void load_words(
      const uint32_t* rows, int64_t stride, Vec words[kBits][kVecs]) {
    for (int v = 0; v < kVecs; ++v)
      for (int w = 0; w < kBits; w += 4) {
        Vec four[4];
        V::load_columns4(
            reinterpret_cast<const float*>(rows + v * V::kLanes * stride + w),
            stride,
            four);
        for (int i = 0; i < 4; ++i) words[w + i][v] = four[i];
      }
  }

  static void add(
      const Vec words[kBits][kVecs],
      const Vec scale[kVecs],
      const Vec bias[kVecs],
      const float* x,
      int64_t x_stride,
      Vec acc[kRows][kVecs]) {
    for (int w = 0; w < kBits; ++w, x += kPerWord) {
#pragma GCC unroll 8
      for (int j = 0; j < kPerWord; ++j) {
        Vec weight[kVecs];
#pragma GCC unroll 8
        for (int v = 0; v < kVecs; ++v) {
          auto code = V::field(V::as_int(words[w][v]), j * kBits, kMask);
          weight[v] = V::fma(code, scale[v], bias[v]);
        }
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          auto value = V::set1(x[r * x_stride + j]);
#pragma GCC unroll 8
          for (int v = 0; v < kVecs; ++v)
            acc[r][v] = V::fma(value, weight[v], acc[r][v]);
        }
      }
    }
  }
};

// kRows rows of C from m on, kVecs * lanes columns from n on.
template <class V, int kBits, int kRows, int kVecs>
void few_rows_block(const Gemm& g, int64_t m, int64_t n) {
  using Vec = typename V::Vec;
  using U = Unit<V, kBits, kRows, kVecs>;
  Vec acc[kRows][kVecs], words[kBits][kVecs], scale[kVecs], bias[kVecs];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVecs; ++v) acc[r][v] = V::zero();
  const uint32_t* rows = typed<uint32_t>(g.b.data) + n * g.b.row_stride;
  auto loader = scale_loader<V>(g.b.scale_format);
  ScaleWindow<V, kVecs> window;
  int64_t group = 0, left = 0;
  prefetch_next_scales<V, kVecs>(g.b, n);
  for (int64_t k = 0; k < g.k; k += 32, left -= 32) {
    const uint32_t* at = rows + k * kBits / 32;
    if (k * kBits % 512 == 0) prefetch_next_panel<V, kVecs>(at, g.b.row_stride);
    if (left == 0) {
      if (group % 4 == 0) window.load(g.b, loader, n, group);
      for (int v = 0; v < kVecs; ++v) scale[v] = window.scales[v][group % 4];
      for (int v = 0; v < kVecs; ++v) bias[v] = window.biases[v][group % 4];
      ++group;
      left = g.b.group_size;
    }
    U::load_words(at, g.b.row_stride, words);
    U::add(words, scale, bias, g.a + m * g.a_stride + k, g.a_stride, acc);
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVecs; ++v)
      V::store(g.c + (m + r) * g.c_stride + n + v * V::kLanes, acc[r][v]);
}

// As many columns at a time as leave every accumulator in a register.
template <class V, int kBits, int kRows>
void few_rows_tile(const Gemm& g, const Tile& t) {
  constexpr int kVecs = kRows == 1 ? 4 : kRows <= 4 ? 2 : 1;
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
