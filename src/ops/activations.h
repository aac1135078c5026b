// The elementwise and row-wise maths of a decoder block, each fused on the CPU.

#pragma once

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

/// silu(gate) * up, of one shape and type. arXiv:2002.05202
mx::array swiglu(const mx::array& gate, const mx::array& up);

/// gelu(gate) * up, of one shape and type, with the tanh form of gelu
/// (arXiv:1606.08415). Nothing but gate and up is kept for the backward pass.
mx::array geglu(const mx::array& gate, const mx::array& up);

/// x / sqrt(mean(x^2) + eps) * weight over the last axis, in x's type.
/// x [..., D], weight [D] any float. arXiv:1910.07467
mx::array rms_norm(const mx::array& x, const mx::array& weight, float eps);

}  // namespace pupil
