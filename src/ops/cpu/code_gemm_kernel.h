// C = A B for a quantised B in whole numbers, at many rows.

#pragma once

#include "ops/cpu/code_panel.h"
#include "ops/cpu/lines_ahead.h"

namespace pupil::cpu {
namespace {

// The exact sums of one group: kRows rows of pairs, `stride` apart, times the panel's.
template <class V, int kRows>
[[gnu::always_inline]] inline void sum_group(
    const int32_t* x,
    int64_t stride,
    const int32_t* codes,
    int64_t pairs,
    typename V::IVec sums[kRows][V::kCodeVecs]) {
  constexpr int kVecs = V::kCodeVecs;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) sums[i][j] = V::zero_ints();
  const int32_t* end = x + pairs;
  do {
    typename V::IVec b[kVecs];
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) b[j] = V::load_ints(codes + j * V::kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      auto pair = V::set1_int(load_int(x + i * stride));
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) sums[i][j] = V::dot_pairs(sums[i][j], b[j], pair);
    }
    codes += CodePanel<V>::kWidth;
  } while (++x != end);
  // GCC 12 else keeps a copy of each sum in memory, through every turn of the loop.
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) V::keep(sums[i][j]);
}

/// Scales and sums of A's rows for one group.
struct RowScales {
  const float *scales, *sums;
};

// acc [kRows, panel's columns] += the sums of one group with their scales.
template <class V, int kRows, bool kBias>
[[gnu::always_inline]] inline void add_group(
    const typename V::IVec sums[kRows][V::kCodeVecs],
    const RowScales& rows,
    const float* scales,
    const float* biases,
    float* acc) {
  typename V::Vec scale[V::kCodeVecs], bias[V::kCodeVecs];
#pragma GCC unroll 4
  for (int j = 0; j < V::kCodeVecs; ++j) {
    scale[j] = V::load(scales + j * V::kLanes);
    if (kBias) bias[j] = V::load(biases + j * V::kLanes);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    auto row_scale = V::set1(rows.scales[i]);
    auto row_sum = kBias ? V::set1(rows.sums[i]) : V::zero();
#pragma GCC unroll 4
    for (int j = 0; j < V::kCodeVecs; ++j) {
      float* to = acc + (i * V::kCodeVecs + j) * V::kLanes;
      auto sum = V::mul(V::to_floats(sums[i][j]), row_scale);
      sum = V::fma(sum, scale[j], V::load(to));
      if (kBias) sum = V::fma(row_sum, bias[j], sum);
      V::store(to, sum);
    }
  }
}

template <class V, int kRows>
void load_block(const float* c, int64_t c_stride, bool from_zero, float* acc) {
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < V::kCodeVecs; ++j, acc += V::kLanes)
      V::store(acc, from_zero ? V::zero() : V::load(c + i * c_stride + j * V::kLanes));
}

template <class V, int kRows>
void store_block(const float* acc, float* c, int64_t c_stride) {
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < V::kCodeVecs; ++j, acc += V::kLanes)
      V::store(c + i * c_stride + j * V::kLanes, V::load(acc));
}

// C [kRows, panel's columns] (+)= rows m.. of A times the panel, group by group. The
// float32 sums lie in a block of their own meanwhile: rows of C are often a multiple of
// 2 KB apart, and would push each other out of the first cache.
template <class V, int kRows, bool kBias>
void code_micro_kernel(
    const CodedRows& a,
    int64_t m,
    const CodePanel<V>& p,
    float* c,
    int64_t c_stride,
    bool from_zero) {
  constexpr int64_t kWidth = CodePanel<V>::kWidth;
  alignas(64) float acc[kRows * kWidth];
  load_block<V, kRows>(c, c_stride, from_zero, acc);
  const int64_t pairs = a.group_size / 2, stride = a.stride() / 2;
  const int64_t groups = p.groups(a.group_size);
  const int64_t first = p.k0 / a.group_size;
  const auto* x = reinterpret_cast<const int32_t*>(a.codes + m * a.stride() + p.k0);
  for (int64_t g = 0; g < groups; ++g) {
    typename V::IVec sums[kRows][V::kCodeVecs];
    sum_group<V, kRows>(
        x + g * pairs, stride, p.codes + g * pairs * kWidth, pairs, sums);
    add_group<V, kRows, kBias>(
        sums,
        {a.scales + a.at(m, first + g), a.sums + a.at(m, first + g)},
        p.scales + g * kWidth,
        p.biases + g * kWidth,
        acc);
  }
  store_block<V, kRows>(acc, c, c_stride);
}

// Up to this rank an adapter's term is added while the columns are in the first cache.
constexpr int64_t kMostAddedRank = 64;

/// The columns of an adapter's term that belong to one panel.
template <class V>
struct TermPanel {
  const float* inner;  // [M, rank]
  int64_t inner_stride, rank;
  alignas(64) float up[kMostAddedRank * CodePanel<V>::kWidth];

  void fill(const TermOfRows& term, int64_t n0, int64_t n) {
    inner = term.inner;
    inner_stride = term.inner_stride;
    rank = term.rank;
    packer_for<V>(term.up)(term.up, {0, rank, n0, n, CodePanel<V>::kWidth, up});
  }

  template <int kRows>
  void add(int64_t m, float* c, int64_t c_stride) const {
    constexpr int64_t kWidth = CodePanel<V>::kWidth;
    micro_kernel<V, kRows, V::kCodeVecs>(
        inner + m * inner_stride, inner_stride, up, kWidth, c, c_stride, rank, false);
  }
};

/// Rows [m0, m1) of A against one panel, into C's columns from the panel's first on.
template <class V>
struct CodeStrip {
  const CodedRows& a;
  int64_t m0, m1;
  float* c;  // of row m0
  int64_t c_stride;
  bool from_zero;
  const TermPanel<V>* term;  // to add on top; null: none
  LinesAhead* ahead;         // of the next panel
};

// kRows rows at a time, then fewer.
template <class V, bool kBias, int kRows>
void multiply_codes(const CodePanel<V>& p, CodeStrip<V> s) {
  for (; s.m1 - s.m0 >= kRows; s.m0 += kRows, s.c += kRows * s.c_stride) {
    s.ahead->fetch(s.ahead->left() * kRows / (s.m1 - s.m0) + 1);
    code_micro_kernel<V, kRows, kBias>(s.a, s.m0, p, s.c, s.c_stride, s.from_zero);
    if (s.term) s.term->template add<kRows>(s.m0, s.c, s.c_stride);
  }
  if constexpr (kRows > 1) {
    if (s.m0 < s.m1) multiply_codes<V, kBias, kRows - 1>(p, s);
  }
}

// The same where C has fewer columns than the panel: through a buffer.
template <class V, bool kBias>
void multiply_codes_edge(const CodePanel<V>& p, CodeStrip<V> s) {
  constexpr int64_t kWidth = CodePanel<V>::kWidth;
  float buffer[V::kCodeRows * kWidth];
  for (int64_t m = s.m0; m < s.m1; m += V::kCodeRows) {
    int64_t rows = s.m1 - m < V::kCodeRows ? s.m1 - m : V::kCodeRows;
    float* c = s.c + (m - s.m0) * s.c_stride;
    if (!s.from_zero) copy_block(c, s.c_stride, buffer, kWidth, rows, p.n);
    multiply_codes<V, kBias, V::kCodeRows>(
        p, {s.a, m, m + rows, buffer, kWidth, s.from_zero, s.term, s.ahead});
    copy_block(buffer, kWidth, c, s.c_stride, rows, p.n);
  }
}

/// The panels of a tile, one below the other, then the columns next to them.
template <class V>
struct PanelWalk {
  const CodeGemm* g;
  int64_t n, end, k = 0;

  bool done() const { return n >= end; }
  bool last_of_columns() const { return k + kCodeDepth >= g->k; }
  int64_t rows() const { return g->k - k < kCodeDepth ? g->k - k : kCodeDepth; }
  int64_t columns() const {
    return end - n < CodePanel<V>::kWidth ? end - n : CodePanel<V>::kWidth;
  }
  PanelWalk next() const {
    if (last_of_columns()) return {g, n + CodePanel<V>::kWidth, end};
    return {g, n, end, k + kCodeDepth};
  }
  // What the panel is unpacked from.
  LinesAhead lines() const {
    LinesAhead lines;
    if (done()) return lines;
    if (g->b.transposed)
      add_weights(g->b, n, columns(), k, rows(), lines);
    else
      add_weights(g->b, k, rows(), n, columns(), lines);
    return lines;
  }
};

// `unpack` fills a panel whose place is set.
template <class V, bool kBias, class Unpack>
void code_panels(const CodeGemm& g, const Tile& t, const Unpack& unpack) {
  CodePanel<V> panel;
  TermPanel<V> term;
  bool has_term = g.term.rank > 0 && g.term.rank <= kMostAddedRank;
  for (PanelWalk<V> at{&g, t.n0, t.n1}; !at.done(); at = at.next()) {
    if (has_term && at.k == 0) term.fill(g.term, at.n, at.columns());
    panel.set_place(at.k, at.rows(), at.n, at.columns());
    unpack(panel);
    auto ahead = at.next().lines();
    CodeStrip<V> strip{
        g.a,
        t.m0,
        t.m1,
        g.c + t.m0 * g.c_stride + at.n,
        g.c_stride,
        at.k == 0 && !g.accumulate,
        has_term && at.last_of_columns() ? &term : nullptr,
        &ahead};
    if (panel.n == panel.kWidth)
      multiply_codes<V, kBias, V::kCodeRows>(panel, strip);
    else
      multiply_codes_edge<V, kBias>(panel, strip);
  }
}

template <class V, int kBits>
void many_code_rows(const CodeGemm& g, const Tile& t) {
  if (g.b.transposed)
    code_panels<V, true>(
        g, t, [&](CodePanel<V>& p) { unpack_panel<V, kBits>(g.b, p); });
  else
    code_panels<V, false>(
        g, t, [&](CodePanel<V>& p) { recode_panel<V, kBits>(g.b, g.k, p); });
}

}  // namespace
}  // namespace pupil::cpu
