// The register-blocked micro-kernel: an outer product with lanes over columns and k
// ascending. Each output is one chain of fused multiply-adds from k = 0 to K - 1, so
// its bits depend on nothing else: not on the number of rows, nor on tiles or threads.

#pragma once

#include "ops/cpu/kernel_table.h"
#include "ops/cpu/pack.h"

namespace pupil::cpu {
namespace {

// C [kRows, kVecs * lanes] += A [kRows, kc] panel, whose rows lie `panel_stride` apart.
template <class V, int kRows, int kVecs>
void micro_kernel(
    const float* a,
    int64_t a_stride,
    const float* panel,
    int64_t panel_stride,
    float* c,
    int64_t c_stride,
    int64_t kc,
    bool from_zero) {
  typename V::Vec acc[kRows][kVecs];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < kVecs; ++j)
      acc[i][j] = from_zero ? V::zero() : V::load(c + i * c_stride + j * V::kLanes);
  for (int64_t k = 0; k < kc; ++k) {
    typename V::Vec b[kVecs];
#pragma GCC unroll 16
    for (int j = 0; j < kVecs; ++j)
      b[j] = V::load(panel + k * panel_stride + j * V::kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      auto x = V::set1(a[i * a_stride + k]);
#pragma GCC unroll 16
      for (int j = 0; j < kVecs; ++j) acc[i][j] = V::fma(x, b[j], acc[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < kVecs; ++j)
      V::store(c + i * c_stride + j * V::kLanes, acc[i][j]);
}

/// Rows of A against one panel.
struct PanelProduct {
  const float* a;
  int64_t a_stride;
  const float* panel;
  int64_t panel_stride;
  float* c;
  int64_t c_stride;
  int64_t rows, kc;
  bool from_zero;
};

// kRows rows at a time, then fewer.
template <class V, int kVecs, int kRows>
void multiply_rows(PanelProduct p) {
  for (; p.rows >= kRows; p.rows -= kRows) {
    micro_kernel<V, kRows, kVecs>(
        p.a, p.a_stride, p.panel, p.panel_stride, p.c, p.c_stride, p.kc, p.from_zero);
    p.a += kRows * p.a_stride;
    p.c += kRows * p.c_stride;
  }
  if constexpr (kRows > 1) {
    if (p.rows > 0) multiply_rows<V, kVecs, kRows - 1>(p);
  }
}

inline void copy_block(
    const float* from,
    int64_t from_stride,
    float* to,
    int64_t to_stride,
    int64_t rows,
    int64_t columns) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      to[i * to_stride + j] = from[i * from_stride + j];
}

// The same where C has fewer columns than the panel: through a buffer.
template <class V, int kVecs, int kRows>
void multiply_edge(const PanelProduct& p, int64_t columns) {
  constexpr int64_t kWidth = kVecs * V::kLanes;
  float buffer[kRows * kWidth] = {};
  for (int64_t i = 0; i < p.rows; i += kRows) {
    int64_t rows = p.rows - i < kRows ? p.rows - i : kRows;
    float* c = p.c + i * p.c_stride;
    if (!p.from_zero) copy_block(c, p.c_stride, buffer, kWidth, rows, columns);
    PanelProduct part = p;
    part.a += i * p.a_stride;
    part.c = buffer;
    part.c_stride = kWidth;
    part.rows = rows;
    multiply_rows<V, kVecs, kRows>(part);
    copy_block(buffer, kWidth, c, p.c_stride, rows, columns);
  }
}

// A panel that is read this often, or less, is not worth packing where B lies ready.
constexpr int64_t kFewReads = 4;

inline bool lies_ready(const MatrixB& b) {
  return b.format == Format::f32 && !b.transposed;
}

// A panel's columns at a time; what is left of the tile's in narrower panels.
template <class V, int kVecs, int kRows>
void multiply_tile(const Gemm& g, Tile t) {
  constexpr int64_t kWidth = kVecs * V::kLanes;
  constexpr int64_t kDepth = V::kPanelFloats / kWidth / 32 * 32;
  alignas(64) float panel[kDepth * kWidth];
  PackFn pack = packer_for<V>(g.b);
  bool in_place = lies_ready(g.b) && t.m1 - t.m0 <= kFewReads * kRows;
  if constexpr (kVecs > 1) {
    int64_t whole = t.n0 + (t.n1 - t.n0) / kWidth * kWidth;
    if (whole < t.n1) multiply_tile<V, kVecs / 2, kRows>(g, {t.m0, t.m1, whole, t.n1});
    t.n1 = whole;
  }
  for (int64_t n = t.n0; n < t.n1; n += kWidth) {
    int64_t columns = t.n1 - n < kWidth ? t.n1 - n : kWidth;
    for (int64_t k = 0; k < g.k; k += kDepth) {
      int64_t kc = g.k - k < kDepth ? g.k - k : kDepth;
      bool as_it_lies = in_place && columns == kWidth;
      if (!as_it_lies) pack(g.b, {k, kc, n, columns, kWidth, panel});
      PanelProduct p{
          g.a + t.m0 * g.a_stride + k,
          g.a_stride,
          as_it_lies ? typed<float>(g.b.data) + k * g.b.row_stride + n : panel,
          as_it_lies ? g.b.row_stride : kWidth,
          g.c + t.m0 * g.c_stride + n,
          g.c_stride,
          t.m1 - t.m0,
          kc,
          k == 0 && !g.accumulate};
      if (columns == kWidth)
        multiply_rows<V, kVecs, kRows>(p);
      else
        multiply_edge<V, kVecs, kRows>(p, columns);
    }
  }
}

template <class V>
void gemm_tile(const Gemm& g, const Tile& t) {
  // An adapter's inner products have 16 columns: no wider panel.
  if (t.n1 - t.n0 <= V::kLanes) return multiply_tile<V, 1, V::kNarrowRows>(g, t);
  if (t.m1 - t.m0 <= V::kWideRows)
    multiply_tile<V, V::kWideVecs, V::kWideRows>(g, t);
  else
    multiply_tile<V, V::kNarrowVecs, V::kNarrowRows>(g, t);
}

}  // namespace
}  // namespace pupil::cpu
