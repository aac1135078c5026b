// SwiGLU and RMSNorm on float32 rows, forward and backward.

#pragma once

#include "ops/cpu/vector_math.h"

namespace pupil::cpu {
namespace {

template <class V>
void swiglu_rows(const float* gate, const float* up, float* out, int64_t n) {
  for_lanes<V>(n, [&](int64_t i, int64_t count) {
    auto g = load_some<V>(gate + i, count), u = load_some<V>(up + i, count);
    store_some<V>(out + i, count, V::mul(V::mul(g, sigmoid<V>(g)), u));
  });
}

// With s = sigmoid(g): d silu / dg = s (1 + g (1 - s)).
template <class V>
void swiglu_vjp_rows(
    const float* gate,
    const float* up,
    const float* dy,
    float* dgate,
    float* dup,
    int64_t n) {
  for_lanes<V>(n, [&](int64_t i, int64_t count) {
    auto g = load_some<V>(gate + i, count), u = load_some<V>(up + i, count);
    auto d = load_some<V>(dy + i, count);
    auto s = sigmoid<V>(g), one = V::set1(1.0f);
    auto slope = V::mul(s, V::fma(g, V::sub(one, s), one));
    store_some<V>(dgate + i, count, V::mul(V::mul(d, u), slope));
    store_some<V>(dup + i, count, V::mul(d, V::mul(g, s)));
  });
}

template <class V>
float inverse_rms(const float* x, float eps, int64_t width) {
  auto squares = V::zero();
  for_lanes<V>(width, [&](int64_t i, int64_t count) {
    auto v = load_some<V>(x + i, count);
    squares = V::fma(v, v, squares);
  });
  float mean = sum_lanes<V>(squares) / static_cast<float>(width);
  return 1.0f / __builtin_sqrtf(mean + eps);
}

template <class V>
void rms_norm_rows(
    const float* x,
    const float* weight,
    float eps,
    float* out,
    int64_t rows,
    int64_t width) {
  for (int64_t r = 0; r < rows; ++r, x += width, out += width) {
    auto scale = V::set1(inverse_rms<V>(x, eps, width));
    for_lanes<V>(width, [&](int64_t i, int64_t count) {
      auto normed = V::mul(load_some<V>(x + i, count), scale);
      store_some<V>(out + i, count, V::mul(normed, load_some<V>(weight + i, count)));
    });
  }
}

// With v = dy w and r = 1 / rms: dx = r (v - x r^2 mean(v x)).
template <class V>
void rms_norm_vjp_rows(
    const float* x,
    const float* weight,
    const float* dy,
    float eps,
    float* dx,
    int64_t rows,
    int64_t width) {
  for (int64_t r = 0; r < rows; ++r, x += width, dy += width, dx += width) {
    auto dot = V::zero();
    for_lanes<V>(width, [&](int64_t i, int64_t count) {
      auto v = V::mul(load_some<V>(dy + i, count), load_some<V>(weight + i, count));
      dot = V::fma(v, load_some<V>(x + i, count), dot);
    });
    float scale = inverse_rms<V>(x, eps, width);
    float mean = sum_lanes<V>(dot) / static_cast<float>(width);
    auto inward = V::set1(-mean * scale * scale), outward = V::set1(scale);
    for_lanes<V>(width, [&](int64_t i, int64_t count) {
      auto v = V::mul(load_some<V>(dy + i, count), load_some<V>(weight + i, count));
      auto sum = V::fma(load_some<V>(x + i, count), inward, v);
      store_some<V>(dx + i, count, V::mul(sum, outward));
    });
  }
}

}  // namespace
}  // namespace pupil::cpu
