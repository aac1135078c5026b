// AdamW and sums of squares on float32: the same bits with every instruction set, so
// products are never fused with sums and sums run in as many lanes everywhere.

#pragma once

#include "ops/cpu/adamw_types.h"
#include "ops/cpu/vector_math.h"

namespace pupil::cpu {
namespace {

template <class V>
void adamw(const AdamWStep& step, const AdamWMemory& at, int64_t n) {
  auto scale = V::set1(step.grad_scale), blend1 = V::set1(step.blend1);
  auto beta2 = V::set1(step.beta2), blend2 = V::set1(step.blend2);
  auto root_scale = V::set1(step.root_scale), eps = V::set1(step.eps);
  auto decay = V::set1(step.decay), rate = V::set1(step.rate);
  for_lanes<V>(n, [&](int64_t i, int64_t count) {
    auto g = V::mul(load_some<V>(at.grad + i, count), scale);
    auto m = load_some<V>(at.first + i, count);
    auto v = load_some<V>(at.second + i, count);
    auto p = load_some<V>(at.param + i, count);
    m = V::add(m, V::mul(V::sub(g, m), blend1));
    v = V::add(V::mul(v, beta2), V::mul(V::mul(g, g), blend2));
    auto root = V::add(V::mul(V::sqrt(v), root_scale), eps);
    p = V::sub(V::mul(p, decay), V::mul(V::div(m, root), rate));
    store_some<V>(at.new_first + i, count, m);
    store_some<V>(at.new_second + i, count, v);
    store_some<V>(at.new_param + i, count, p);
  });
}

template <class V>
double sum_of_squares(const float* x, int64_t n) {
  constexpr int kSums = 32, kVecs = kSums / V::kLanes;
  typename V::Vec vecs[kVecs];
  for (auto& v : vecs) v = V::zero();
  int64_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (int j = 0; j < kVecs; ++j) {
      auto v = V::load(x + i + j * V::kLanes);
      vecs[j] = V::add(vecs[j], V::mul(v, v));
    }
  }
  float sums[kSums];
  for (int j = 0; j < kVecs; ++j) V::store(sums + j * V::kLanes, vecs[j]);
  for (int j = 0; i + j < n; ++j) sums[j] += x[i + j] * x[i + j];
  double total = 0;
  for (float sum : sums) total += sum;
  return total;
}

}  // namespace
}  // namespace pupil::cpu
