// Random arrays and comparisons for the tests of ops/.

#pragma once

#include <gtest/gtest.h>

#include <string>

#include "mlx/mlx.h"
#include "ops/cpu/cpu_features.h"
#include "ops/cpu/thread_pool.h"
#include "ops/linear.h"

namespace pupil::ops_test {

namespace mx = mlx::core;

inline mx::array normal(const mx::Shape& shape, uint64_t seed) {
  auto x = mx::random::normal(shape, mx::float32, 0.0f, 1.0f, mx::random::key(seed));
  mx::eval(x);
  return x;
}

/// w [out, in] in MLX's affine quantisation, its scales and biases in type `scales`.
inline QuantizedWeight quantized(
    const mx::array& w, int group, int bits, mx::Dtype scales) {
  auto parts = mx::quantize(w, group, bits);
  QuantizedWeight q{
      parts[0],
      mx::astype(parts[1], scales),
      mx::astype(parts[2], scales),
      group,
      bits};
  mx::eval(q.packed, q.scales, *q.biases);
  return q;
}

/// w [out, in] packed as `packing` says, its scales in w's type if it is affine.
inline QuantizedWeight quantized(const mx::array& w, const Quantization& packing) {
  auto [group, bits, mode] = packing;
  auto parts = mx::quantize(w, group, bits, mode_name(mode));
  std::optional<mx::array> biases;
  if (parts.size() > 2) biases = parts[2];
  QuantizedWeight q{parts[0], parts[1], biases, group, bits, false, 0, mode};
  mx::eval(parts);
  return q;
}

/// For sums of up to 1000 products in another order.
constexpr float kTolerance = 2e-5f;

/// max |a - b|, relative to max |b| where that is above 1; 0 for empty arrays.
inline float distance(const mx::array& a, const mx::array& b) {
  EXPECT_EQ(a.shape(), b.shape());
  if (a.size() == 0) return 0.0f;
  auto x = mx::astype(a, mx::float32), y = mx::astype(b, mx::float32);
  float error = mx::max(mx::abs(x - y)).item<float>();
  EXPECT_FALSE(std::isnan(error));
  return error / std::max(1.0f, mx::max(mx::abs(y)).item<float>());
}

inline bool same_bits(const mx::array& a, const mx::array& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  return mx::array_equal(a, b).item<bool>();
}

/// Runs `body` once with the kernels of each instruction set that the machine has.
template <class Body>
void with_each_isa(const Body& body) {
  std::string before = cpu::kernels().name;
  for (const auto& isa : cpu::available_isas()) {
    SCOPED_TRACE("kernels: " + isa);
    cpu::use_isa(isa);
    body();
  }
  cpu::use_isa(before);
}

}  // namespace pupil::ops_test
