// The way back through linears with low-rank terms, as one operation.

#pragma once

#include <vector>

#include "ops/cpu/weight_matrix.h"

namespace pupil::cpu {

/// What y = x W^T + scale (x A) B was made of, but for x.
struct AdaptedLinear {
  std::vector<mx::array> weight;  // one array if dense; packed, scales, biases if not
  mx::array a;                    // [in, r] float32
  mx::array b;                    // [r, out] float32
};

/// What is the same for linears that run as one operation.
struct AdaptedFormat {
  WeightFormat weight;
  float scale;

  size_t num_arrays() const { return weight.bits == 0 ? 1 : 3; }  // of a weight
  bool operator==(const AdaptedFormat&) const = default;
};

struct AdaptedGradients {
  mx::array x;
  std::vector<mx::array> a, b;  // of each linear
};

/// Gradients for dys, one [..., out] a linear: dx is the sum of dy W + scale (dy B^T)
/// A^T over the linears, dA = scale x^T (dy B^T) and dB = scale (x A)^T dy. `format` is
/// that of the product, not of its way back.
AdaptedGradients adapted_gradients(
    const mx::array& x,
    const std::vector<AdaptedLinear>& linears,
    const std::vector<mx::array>& dys,
    const AdaptedFormat& format);

/// A [in, r_i] of several linears side by side: [in, R] for R the sum of the ranks. The
/// A itself where it is the only one.
class JoinedDowns {
 public:
  JoinedDowns(
      const std::vector<FloatInput>& downs,
      const std::vector<int64_t>& ranks,
      int64_t in);

  const float* data() const { return copy_.empty() ? only_ : copy_.data(); }
  int64_t columns() const { return columns_; }

 private:
  const float* only_;
  int64_t columns_;
  std::vector<float> copy_;
};

}  // namespace pupil::cpu
