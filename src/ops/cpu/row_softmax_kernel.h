// The softmax of one row of logits: one pass for the maximum, one for the sums. Sums
// run in 16 lanes, each in order of the index, whatever the instruction set.

#pragma once

#include "ops/cpu/softmax_types.h"
#include "ops/cpu/vector_math.h"

namespace pupil::cpu {
namespace {

constexpr int kRowLanes = 16;

/// exp(x) for x in [kLowestGap, 0] within 2 ulp; NaN stays NaN. Cody and Waite's
/// reduction with the Cephes polynomial.
template <class V>
typename V::Vec exp_of_gap(typename V::Vec x) {
  auto magic = V::set1(12582912.0f);  // the sum has no bits left for a fraction
  auto n = V::sub(V::fma(x, V::set1(1.44269504088896341f), magic), magic);
  auto r = V::fma(n, V::set1(-0.693359375f), x);
  r = V::fma(n, V::set1(2.12194440e-4f), r);
  auto p = exp_polynomial<V>(r);
  auto y = V::add(V::fma(V::mul(p, r), r, r), V::set1(1.0f));
  return V::mul(y, V::pow2(n));
}

// x - max of `count` scores from `i` on; lanes past them repeat the first.
template <class V>
typename V::Vec gaps_at(const ScoreRow& row, float max, int64_t i, int64_t count) {
  const float* from = row.logits + i;
  auto x = count == V::kLanes ? V::load(from) : load_part<V>(from, count, from[0]);
  return V::fma(x, V::set1(row.inverse_temperature), V::set1(-max));
}

// Kept where exp is a normal number; NaN stays NaN.
template <class V>
typename V::Vec bounded(typename V::Vec gaps) {
  return V::max(V::set1(kLowestGap), gaps);
}

// The first `count` lanes, then zeros.
template <class V>
typename V::Vec first_lanes(typename V::Vec v, int64_t count) {
  if (count == V::kLanes) return v;
  float lanes[V::kLanes];
  V::store(lanes, v);
  return load_part<V>(lanes, count);
}

// body(i, count, v) over [0, n), where v is the vector's place among those of 16 lanes.
template <class V, class Body>
void for_row(int64_t n, const Body& body) {
  constexpr int kVecs = kRowLanes / V::kLanes;
  int64_t i = 0;
  for (; i + kRowLanes <= n; i += kRowLanes) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) body(i + v * V::kLanes, int64_t{V::kLanes}, v);
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVecs; ++v) {
    int64_t left = n - i - v * V::kLanes;
    if (left > 0) body(i + v * V::kLanes, left < V::kLanes ? left : V::kLanes, v);
  }
}

// NaN are passed over.
template <class V>
float row_max(const ScoreRow& row) {
  auto high = V::set1(-__builtin_inff()), factor = V::set1(row.inverse_temperature);
  for_lanes<V>(row.size, [&](int64_t i, int64_t count) {
    const float* from = row.logits + i;
    auto x = count == V::kLanes ? V::load(from) : load_part<V>(from, count, from[0]);
    high = V::max(V::mul(x, factor), high);
  });
  return max_lanes<V>(high);
}

template <class V>
RowSums row_sums(const ScoreRow& row) {
  constexpr int kVecs = kRowLanes / V::kLanes;
  float max = row_max<V>(row);
  typename V::Vec sum[kVecs], weighted[kVecs];
  for (int v = 0; v < kVecs; ++v) sum[v] = weighted[v] = V::zero();
  for_row<V>(row.size, [&](int64_t i, int64_t count, int v) {
    auto gaps = bounded<V>(gaps_at<V>(row, max, i, count));
    auto e = first_lanes<V>(exp_of_gap<V>(gaps), count);
    sum[v] = V::add(sum[v], e);
    weighted[v] = V::fma(e, gaps, weighted[v]);
  });
  float sums[kRowLanes], gap_sums[kRowLanes];
  for (int v = 0; v < kVecs; ++v) {
    V::store(sums + v * V::kLanes, sum[v]);
    V::store(gap_sums + v * V::kLanes, weighted[v]);
  }
  double total = 0, gaps = 0;
  for (int l = 0; l < kRowLanes; ++l) total += sums[l], gaps += gap_sums[l];
  auto log_sum = static_cast<float>(__builtin_log(total));
  return {max, log_sum, static_cast<float>(gaps / total)};
}

template <class V>
float row_exp_sum(const ScoreRow& row, float max) {
  constexpr int kVecs = kRowLanes / V::kLanes;
  typename V::Vec sum[kVecs];
  for (auto& s : sum) s = V::zero();
  for_row<V>(row.size, [&](int64_t i, int64_t count, int v) {
    auto gaps = gaps_at<V>(row, max, i, count);
    auto e = V::zero_below(gaps, kLowestGap, exp_of_gap<V>(bounded<V>(gaps)));
    sum[v] = V::add(sum[v], first_lanes<V>(e, count));
  });
  float sums[kRowLanes], total = 0;
  for (int v = 0; v < kVecs; ++v) V::store(sums + v * V::kLanes, sum[v]);
  for (float part : sums) total += part;
  return total;
}

template <class V>
void negative_softmax(const ScoreRow& row, const RowSums& sums, float* gradient) {
  auto scale = V::set1(-row.inverse_temperature * __builtin_expf(-sums.log_sum));
  for_lanes<V>(row.size, [&](int64_t i, int64_t count) {
    auto gaps = bounded<V>(gaps_at<V>(row, sums.max, i, count));
    store_some<V>(gradient + i, count, V::mul(scale, exp_of_gap<V>(gaps)));
  });
}

}  // namespace
}  // namespace pupil::cpu
