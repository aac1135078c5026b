// Terms of a softmax, and how much of them lies above some scores.

#pragma once

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

}  // namespace
}  // namespace pupil::cpu
