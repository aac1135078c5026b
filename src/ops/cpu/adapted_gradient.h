// The way back through a linear with a low-rank term, as one operation.

#pragma once

#include <vector>

#include "ops/cpu/weight_matrix.h"

namespace pupil::cpu {

/// What y = x W^T + scale (x A) B was made of.
struct AdaptedInputs {
  mx::array x;                    // [..., in]
  std::vector<mx::array> weight;  // one array if dense; packed, scales, biases if not
  mx::array a;                    // [in, r] float32
  mx::array b;                    // [r, out] float32
};

struct AdaptedGradient {
  mx::array x, a, b;  // of the shapes of x, A and B
};

/// Gradients for dy [..., out]: dx = dy W + scale (dy B^T) A^T, dA = scale x^T (dy B^T)
/// and dB = scale (x A)^T dy. `format` is that of the product, not of its way back.
AdaptedGradient adapted_gradient(
    const AdaptedInputs& inputs,
    const mx::array& dy,
    const WeightFormat& format,
    float scale);

}  // namespace pupil::cpu
