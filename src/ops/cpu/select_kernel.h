// Passes over a row of scores that look for its largest; see kept_tokens.h.

#pragma once

#include "ops/cpu/softmax_types.h"
#include "ops/cpu/vector_math.h"

namespace pupil::cpu {
namespace {

template <class V>
void group_maxima(const ScoreRow& row, int groups, float* maxima) {
  auto factor = V::set1(row.inverse_temperature);
  auto over_groups = [&](int begin, const auto& body) {
    for_lanes<V>(groups, [&](int64_t j, int64_t count) {
      auto x = V::mul(load_some<V>(row.logits + begin + j, count), factor);
      store_some<V>(maxima + j, count, body(x, j, count));
    });
  };
  over_groups(0, [](auto x, int64_t, int64_t) { return x; });
  for (int begin = groups; begin + groups <= row.size; begin += groups)
    over_groups(begin, [&](auto x, int64_t j, int64_t count) {
      return V::max(x, load_some<V>(maxima + j, count));
    });
}

// Most spans of tokens have none, which a vector finds out.
inline int collect_tokens(const ScoreRow& row, float least, int* ids, float* scores) {
  constexpr int kSpan = 64;
  const float *x = row.logits, factor = row.inverse_temperature;
  int count = 0;
  for (int begin = 0; begin < row.size; begin += kSpan) {
    int end = begin + kSpan < row.size ? begin + kSpan : row.size;
    int any = 0;
    for (int i = begin; i < end; ++i) any |= x[i] * factor >= least;
    if (!any) continue;
    for (int i = begin; i < end; ++i) {
      float score = x[i] * factor;
      ids[count] = i;
      scores[count] = score;
      count += score >= least;
    }
  }
  return count;
}

}  // namespace
}  // namespace pupil::cpu
