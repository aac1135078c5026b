// Functions of vectors that every instruction set shares.

#pragma once

#include <stdint.h>

#include "ops/cpu/half_types.h"

namespace pupil::cpu {
namespace {

/// p(r) with e^r = 1 + r + r^2 p(r) for |r| <= ln 2 / 2: the Cephes library's.
template <class V>
inline typename V::Vec exp_polynomial(typename V::Vec r) {
  auto p = V::set1(1.9875691500e-4f);
  p = V::fma(p, r, V::set1(1.3981999507e-3f));
  p = V::fma(p, r, V::set1(8.3334519073e-3f));
  p = V::fma(p, r, V::set1(4.1665795894e-2f));
  p = V::fma(p, r, V::set1(1.6666665459e-1f));
  return V::fma(p, r, V::set1(5.0000001201e-1f));
}

/// e^x within 2e-7 relative for x in [-87.3, 88.3]; 0 below, e^88.3 above, NaN for NaN.
/// After the Cephes library's expf: x = n ln 2 + r, a polynomial in r, times 2^n.
template <class V>
inline typename V::Vec exp(typename V::Vec x) {
  constexpr float kLow = -87.3f, kHigh = 88.3f;
  auto clamped = V::min(V::set1(kHigh), V::max(V::set1(kLow), x));
  auto n = V::round(V::mul(clamped, V::set1(1.44269504088896341f)));
  auto r = V::fma(n, V::set1(-0.693359375f), clamped);
  r = V::fma(n, V::set1(2.12194440e-4f), r);
  auto p = exp_polynomial<V>(r);
  auto y = V::add(V::fma(p, V::mul(r, r), r), V::set1(1.0f));
  return V::zero_below(x, kLow, V::mul(y, V::pow2(n)));
}

/// 1 / (1 + e^-x).
template <class V>
inline typename V::Vec sigmoid(typename V::Vec x) {
  auto one = V::set1(1.0f);
  return V::div(one, V::add(one, exp<V>(V::sub(V::zero(), x))));
}

/// The first n < lanes of memory, then `rest`.
template <class V, class T>
inline typename V::Vec load_part(const T* p, int64_t n, float rest = 0.0f) {
  float lanes[V::kLanes];
  for (int i = 0; i < V::kLanes; ++i) lanes[i] = i < n ? to_float(p[i]) : rest;
  return V::load(lanes);
}

template <class V>
inline void store_part(float* p, int64_t n, typename V::Vec v) {
  float lanes[V::kLanes];
  V::store(lanes, v);
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}

/// All lanes by one tree.
template <class V>
inline float sum_lanes(typename V::Vec v) {
  float lanes[V::kLanes];
  V::store(lanes, v);
  for (int half = V::kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

template <class V>
inline float max_lanes(typename V::Vec v) {
  float lanes[V::kLanes];
  V::store(lanes, v);
  float best = lanes[0];
  for (int i = 1; i < V::kLanes; ++i) best = lanes[i] > best ? lanes[i] : best;
  return best;
}

/// body(offset, count) over [0, n): count is the number of lanes, less at the end.
template <class V, class Body>
inline void for_lanes(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) body(i, static_cast<int64_t>(V::kLanes));
  if (i < n) body(i, n - i);
}

template <class V, class T>
inline typename V::Vec load_some(const T* p, int64_t count) {
  return count == V::kLanes ? V::load(p) : load_part<V>(p, count);
}

template <class V>
inline void store_some(float* p, int64_t count, typename V::Vec v) {
  if (count == V::kLanes)
    V::store(p, v);
  else
    store_part<V>(p, count, v);
}

}  // namespace
}  // namespace pupil::cpu
