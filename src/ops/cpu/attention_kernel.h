// Flash-style attention (arXiv:2205.14135): softmax over blocks of keys with a running
// maximum. Blocks lie at absolute positions, whichever operation asks and however the
// keys are divided into prefix and own, and scores and sums run in one order: prefill,
// training and decode give the same bits. Keys that a query does not see have weight 0.

#pragma once

#include "ops/cpu/attention_types.h"
#include "ops/cpu/coded_block.h"
#include "ops/cpu/gemm_kernel.h"
#include "ops/cpu/vector_math.h"

namespace pupil::cpu {
namespace {

// C [rows, n] (+)= A [rows, k] times B of float32, on this thread.
template <class V>
void small_product(
    const float* a,
    int64_t a_stride,
    int64_t rows,
    const float* b,
    int64_t b_stride,
    bool transposed,
    int64_t k,
    int64_t n,
    float* c,
    int64_t c_stride,
    bool accumulate) {
  MatrixB matrix{};
  matrix.data = b;
  matrix.format = Format::f32;
  matrix.transposed = transposed;
  matrix.row_stride = b_stride;
  Gemm gemm{a, a_stride, matrix, c, c_stride, rows, n, k, accumulate};
  gemm_tile<V>(gemm, {0, rows, 0, n});
}

/// The rows of a tile: (b, head of the group, query), the query fastest.
struct TileRows {
  const Attention& a;
  const AttentionTile& t;
  int64_t group() const { return a.heads / a.kv_heads; }
  int64_t queries() const { return t.t1 - t.t0; }
  int64_t per_batch() const { return group() * queries(); }
  int64_t count() const { return (t.b1 - t.b0) * per_batch(); }
  int64_t batch(int64_t row) const { return t.b0 + row / per_batch(); }
  int64_t head(int64_t row) const {
    return t.kv_head * group() + row % per_batch() / queries();
  }
  int64_t query(int64_t row) const { return t.t0 + row % queries(); }
  // In out and lse.
  int64_t index(int64_t row) const {
    return batch(row) * a.layout.batch + head(row) * a.layout.head +
           query(row) * a.layout.query;
  }
  // Keys that the row sees.
  int64_t limit(int64_t row) const {
    return num_keys(a, batch(row)) - a.queries + query(row) + 1;
  }
  // The most that any row sees.
  int64_t furthest() const {
    int64_t most = 0;
    for (int64_t b = t.b0; b < t.b1; ++b)
      if (num_keys(a, b) > most) most = num_keys(a, b);
    return most - a.queries + t.t1;
  }
};

template <class V>
void load_queries(const TileRows& rows, float* out) {
  auto scale = V::set1(rows.a.scale);
  for (int64_t r = 0; r < rows.count(); ++r, out += rows.a.width) {
    const float* q = at(rows.a.q, rows.batch(r), rows.head(r), rows.query(r));
    for_lanes<V>(rows.a.width, [&](int64_t e, int64_t n) {
      store_some<V>(out + e, n, V::mul(load_some<V>(q + e, n), scale));
    });
  }
}

/// Running softmax of a tile's rows.
struct TileState {
  float* q;       // [rows, width], scaled
  float* acc;     // [rows, width]
  float* scores;  // [rows, kKeyBlock], then the weights
  float* max;     // [rows]
  float* sum;     // [rows]
  float* spare;   // [rows, kKeyBlock]
  float* block;   // of coded keys and values: [width, kKeyBlock], [kKeyBlock, width]
};

// Scores of one row to weights; rescales what the row has gathered so far.
template <class V>
void weigh(TileState& s, int64_t row, int64_t visible, int64_t width) {
  float* x = s.scores + row * kKeyBlock;
  for (int64_t j = visible < 0 ? 0 : visible; j < kKeyBlock; ++j)
    x[j] = -__builtin_inff();
  auto high = V::load(x);
  for (int64_t j = V::kLanes; j < kKeyBlock; j += V::kLanes)
    high = V::max(high, V::load(x + j));
  float block_max = max_lanes<V>(high);
  float max = block_max > s.max[row] ? block_max : s.max[row];
  auto shift = V::set1(max), total = V::zero();
  for (int64_t j = 0; j < kKeyBlock; j += V::kLanes) {
    auto weight = exp<V>(V::sub(V::load(x + j), shift));
    V::store(x + j, weight);
    total = V::add(total, weight);
  }
  float lanes[V::kLanes];
  auto factor = exp<V>(V::set1(s.max[row] - max));
  V::store(lanes, factor);
  s.sum[row] = V::fma1(s.sum[row], lanes[0], sum_lanes<V>(total));
  s.max[row] = max;
  if (lanes[0] == 1.0f) return;
  float* acc = s.acc + row * width;
  for_lanes<V>(width, [&](int64_t e, int64_t n) {
    store_some<V>(acc + e, n, V::mul(load_some<V>(acc + e, n), factor));
  });
}

// Scores of rows [first, last) at one part of a block.
template <class V>
void score_part(
    const TileRows& rows,
    TileState& s,
    int64_t first,
    int64_t last,
    const KeyPart& part) {
  int64_t w = rows.a.width, n = last - first;
  const float* q = s.q + first * w;
  float* scores = s.scores + first * kKeyBlock + part.first;
  if (!rows.a.turned) {
    small_product<V>(
        q, w, n, part.k, part.k_stride, true, w, part.count, scores, kKeyBlock, false);
    return;
  }
  // Turned keys lie ready for all that can be read at once; what is past the part is
  // overwritten.
  bool fits = part.before == 0 && part.first + part.readable <= kKeyBlock;
  float* whole = fits ? scores : s.spare;
  small_product<V>(
      q, w, n, part.k, part.k_stride, false, w, part.readable, whole, kKeyBlock, false);
  if (!fits)
    copy_block(s.spare + part.before, kKeyBlock, scores, kKeyBlock, n, part.count);
}

// Rows [first, last) attend to one block.
template <class V>
void attend_block(
    const TileRows& rows,
    TileState& s,
    int64_t first,
    int64_t last,
    const KeyBlock& block) {
  for (const auto& part : block.parts)
    if (part.count > 0) score_part<V>(rows, s, first, last, part);
  for (int64_t r = first; r < last; ++r) {
    int64_t visible = rows.limit(r) - block.start;
    if (visible > 0) {
      weigh<V>(s, r, visible < block.count ? visible : block.count, rows.a.width);
    } else {
      for (int64_t j = 0; j < kKeyBlock; ++j) s.scores[r * kKeyBlock + j] = 0.0f;
    }
  }
  for (const auto& part : block.parts) {
    if (part.count == 0) continue;
    small_product<V>(
        s.scores + first * kKeyBlock + part.first,
        kKeyBlock,
        last - first,
        part.v,
        part.v_stride,
        false,
        part.count,
        rows.a.width,
        s.acc + first * rows.a.width,
        rows.a.width,
        true);
  }
}

template <class V>
void store_results(const TileRows& rows, const TileState& s) {
  int64_t w = rows.a.width;
  for (int64_t r = 0; r < rows.count(); ++r) {
    auto factor = V::set1(1.0f / s.sum[r]);
    float* out = rows.a.out + rows.index(r) * w;
    for_lanes<V>(w, [&](int64_t e, int64_t n) {
      store_some<V>(out + e, n, V::mul(load_some<V>(s.acc + r * w + e, n), factor));
    });
    if (rows.a.lse) rows.a.lse[rows.index(r)] = s.max[r] + __builtin_logf(s.sum[r]);
  }
}

inline TileState tile_state(int64_t rows, int64_t width, float* scratch) {
  TileState s{};
  s.q = scratch;
  s.acc = s.q + rows * width;
  s.scores = s.acc + rows * width;
  s.max = s.scores + rows * kKeyBlock;
  s.sum = s.max + rows;
  s.spare = s.sum + rows;
  s.block = s.spare + rows * kKeyBlock;
  for (int64_t i = 0; i < rows * width; ++i) s.acc[i] = 0.0f;
  for (int64_t r = 0; r < rows; ++r) s.max[r] = -__builtin_inff(), s.sum[r] = 0.0f;
  return s;
}

template <class V>
KeyBlock read_block(
    const Attention& a, int64_t b, int64_t kv_head, int64_t start, TileState& s) {
  if (a.group > 0) return decoded_block<V>(a, b, kv_head, start, s.block);
  return key_block(a, b, kv_head, start);
}

template <class V>
void attention_tile(const Attention& a, const AttentionTile& t, float* scratch) {
  TileRows rows{a, t};
  auto s = tile_state(rows.count(), a.width, scratch);
  load_queries<V>(rows, s.q);
  int64_t seen = rows.furthest(), per_batch = rows.per_batch();
  for (int64_t start = 0; start < seen; start += kKeyBlock) {
    if (start + kKeyBlock <= a.prefix) {  // every row's: read once for all
      auto block = read_block<V>(a, 0, t.kv_head, start, s);
      attend_block<V>(rows, s, 0, rows.count(), block);
      continue;
    }
    for (int64_t b = t.b0; b < t.b1; ++b) {
      if (start >= num_keys(a, b)) continue;
      auto block = read_block<V>(a, b, t.kv_head, start, s);
      int64_t first = (b - t.b0) * per_batch;
      attend_block<V>(rows, s, first, first + per_batch, block);
    }
  }
  store_results<V>(rows, s);
}

}  // namespace
}  // namespace pupil::cpu
