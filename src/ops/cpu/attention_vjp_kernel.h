// The backward pass of attention, block by block from the stored log-sums;
// FlashAttention 2, algorithm 2 (arXiv:2307.08691).
//   P = e^(q k - lse), dP = dO V^T, dS = P (dP - sum(dO O)), dq = dS k, dk = dS^T q,
//   dv = P^T dO

#pragma once

#include "ops/cpu/attention_kernel.h"

namespace pupil::cpu {
namespace {

struct GradientState {
  float* q;        // [rows, width], scaled
  float* dout;     // [rows, width]
  float* dq;       // [rows, width]
  float* weights;  // [rows, kKeyBlock] P
  float* dscores;  // [rows, kKeyBlock] dP, then dS
  float* turned;   // [kKeyBlock, rows]
  float* spare;    // [kKeyBlock, rows]
  float* lse;      // [rows]
  float* dot;      // [rows] sum(dO O)
};

inline GradientState gradient_state(int64_t rows, int64_t width, float* scratch) {
  GradientState s{};
  s.q = scratch;
  s.dout = s.q + rows * width;
  s.dq = s.dout + rows * width;
  s.weights = s.dq + rows * width;
  s.dscores = s.weights + rows * kKeyBlock;
  s.turned = s.dscores + rows * kKeyBlock;
  s.spare = s.turned + rows * kKeyBlock;
  s.lse = s.spare + rows * kKeyBlock;
  s.dot = s.lse + rows;
  for (int64_t i = 0; i < rows * width; ++i) s.dq[i] = 0.0f;
  return s;
}

template <class V>
void load_gradients(
    const TileRows& rows, const AttentionGradient& g, GradientState& s) {
  int64_t w = rows.a.width;
  for (int64_t r = 0; r < rows.count(); ++r) {
    int64_t index = rows.index(r);
    const float *dout = g.dout + index * w, *out = rows.a.out + index * w;
    auto dot = V::zero();
    for_lanes<V>(w, [&](int64_t e, int64_t n) {
      auto d = load_some<V>(dout + e, n);
      store_some<V>(s.dout + r * w + e, n, d);
      dot = V::fma(d, load_some<V>(out + e, n), dot);
    });
    s.dot[r] = sum_lanes<V>(dot);
    s.lse[r] = rows.a.lse[index];
  }
}

// P and dS of one row from its scores and dP.
template <class V>
void weigh_gradient(GradientState& s, int64_t row, int64_t visible) {
  float *p = s.weights + row * kKeyBlock, *d = s.dscores + row * kKeyBlock;
  for (int64_t j = visible < 0 ? 0 : visible; j < kKeyBlock; ++j) {
    p[j] = -__builtin_inff();
    d[j] = 0.0f;
  }
  auto lse = V::set1(s.lse[row]), dot = V::set1(s.dot[row]);
  for (int64_t j = 0; j < kKeyBlock; j += V::kLanes) {
    auto weight = exp<V>(V::sub(V::load(p + j), lse));
    V::store(p + j, weight);
    V::store(d + j, V::mul(weight, V::sub(V::load(d + j), dot)));
  }
}

inline void turn(const float* from, int64_t rows, float* to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < kKeyBlock; ++j) to[j * rows + r] = from[r * kKeyBlock + j];
}

// P and dS of all rows at one key block.
template <class V>
void weigh_block(const TileRows& rows, GradientState& s, const KeyBlock& block) {
  int64_t w = rows.a.width, n = rows.count();
  auto against =
      [&](const float* x, const float* y, int64_t stride, int64_t count, float* to) {
        small_product<V>(x, w, n, y, stride, true, w, count, to, kKeyBlock, false);
      };
  for (const auto& p : block.parts) {
    if (p.count == 0) continue;
    against(s.q, p.k, p.k_stride, p.count, s.weights + p.first);
    against(s.dout, p.v, p.v_stride, p.count, s.dscores + p.first);
  }
  for (int64_t r = 0; r < n; ++r) {
    int64_t visible = rows.limit(r) - block.start;
    weigh_gradient<V>(s, r, visible < block.count ? visible : block.count);
  }
}

// Adds the part of one key block to dq, dk and dv; dk and dv at the block's first row.
template <class V>
void gradient_block(
    const TileRows& rows,
    GradientState& s,
    const KeyBlock& block,
    float* dk,
    float* dv) {
  int64_t w = rows.a.width, n = rows.count();
  weigh_block<V>(rows, s, block);
  for (const auto& p : block.parts) {
    if (p.count == 0) continue;
    const float* dscores = s.dscores + p.first;
    small_product<V>(
        dscores, kKeyBlock, n, p.k, p.k_stride, false, p.count, w, s.dq, w, true);
  }
  turn(s.weights, n, s.turned);
  turn(s.dscores, n, s.spare);
  small_product<V>(s.turned, n, block.count, s.dout, w, false, n, w, dv, w, true);
  small_product<V>(s.spare, n, block.count, s.q, w, false, n, w, dk, w, true);
}

/// One row b and one kv_head: only this tile's thread writes their dk and dv.
template <class V>
void attention_gradient_tile(
    const Attention& a,
    const AttentionGradient& g,
    const AttentionTile& t,
    float* scratch) {
  TileRows rows{a, t};
  int64_t w = a.width;
  auto s = gradient_state(rows.count(), w, scratch);
  load_queries<V>(rows, s.q);
  load_gradients<V>(rows, g, s);
  int64_t seen = rows.limit(rows.count() - 1);
  for (int64_t start = 0; start < seen; start += kKeyBlock) {
    auto block = key_block(a, t.b0, t.kv_head, start);
    gradient_block<V>(rows, s, block, g.dk + start * w, g.dv + start * w);
  }
  for (int64_t r = 0; r < rows.count(); ++r)
    for (int64_t e = 0; e < w; ++e)
      g.dq[rows.index(r) * w + e] = a.scale * s.dq[r * w + e];
}

}  // namespace
}  // namespace pupil::cpu
