// Heads turned by one token's angles (ops/rope.h); the same bits with every instruction
// set, so products are never fused with sums.

#pragma once

#include "ops/cpu/vector_math.h"

namespace pupil::cpu {
namespace {

template <class V>
void rope_heads(
    const float* x,
    const float* cos,
    const float* sin,
    float direction,
    float* out,
    int64_t heads,
    int64_t width) {
  int64_t half = width / 2;
  auto sign = V::set1(direction);
  for (int64_t h = 0; h < heads; ++h, x += width, out += width)
    for_lanes<V>(half, [&](int64_t i, int64_t count) {
      auto c = load_some<V>(cos + i, count);
      auto s = V::mul(sign, load_some<V>(sin + i, count));
      auto low = load_some<V>(x + i, count), high = load_some<V>(x + half + i, count);
      store_some<V>(out + i, count, V::sub(V::mul(low, c), V::mul(high, s)));
      store_some<V>(out + half + i, count, V::add(V::mul(low, s), V::mul(high, c)));
    });
}

}  // namespace
}  // namespace pupil::cpu
