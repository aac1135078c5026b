// Terms of a softmax, and how much of them lies above some scores.

#pragma once

#include "ops/cpu/softmax_types.h"
#include "ops/cpu/vector_math.h"

namespace pupil::cpu {
namespace {

template <class V>
void exp_terms(const float* scores, float max, float* terms, int64_t n) {
  auto high = V::set1(max);
  for_lanes<V>(n, [&](int64_t i, int64_t count) {
    auto gap = V::sub(load_some<V>(scores + i, count), high);
    store_some<V>(terms + i, count, exp<V>(gap));
  });
}

// weights[j] += the terms of scores >= limits[j], summed in float32.
template <class V>
void weigh_above(
    const float* scores,
    const float* terms,
    int64_t n,
    const float* limits,
    int num_limits,
    double* weights) {
  for (int j = 0; j < num_limits; ++j) {
    auto sum = V::zero();
    for_lanes<V>(n, [&](int64_t i, int64_t count) {
      auto score = load_some<V>(scores + i, count);
      sum =
          V::add(sum, V::zero_below(score, limits[j], load_some<V>(terms + i, count)));
    });
    weights[j] += static_cast<double>(sum_lanes<V>(sum));
  }
}

// Block by block, so that scores and terms stay in the first cache. The sum of all is
// float64, in 16 lanes.
template <class V>
double weigh(
    const ScoreRow& row,
    float max,
    const float* limits,
    int num_limits,
    double* weights) {
  constexpr int kBlock = 512, kLanes = 16;
  double lanes[kLanes] = {}, total = 0;
  float scores[kBlock], terms[kBlock];
  for (int begin = 0; begin < row.size; begin += kBlock) {
    int count = row.size - begin < kBlock ? row.size - begin : kBlock;
    for (int i = 0; i < count; ++i)
      scores[i] = row.logits[begin + i] * row.inverse_temperature;
    exp_terms<V>(scores, max, terms, count);
    weigh_above<V>(scores, terms, count, limits, num_limits, weights);
    while (count % kLanes != 0) terms[count++] = 0.0f;
    for (int i = 0; i < count; i += kLanes)
      for (int l = 0; l < kLanes; ++l) lanes[l] += terms[i + l];
  }
  for (double lane : lanes) total += lane;
  return total;
}

}  // namespace
}  // namespace pupil::cpu
