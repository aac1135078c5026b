// SwiGLU and RMSNorm as MLX operations of the CPU; float32 maths in any float type.

#pragma once

#include "ops/cpu/arrays.h"

namespace pupil::cpu {

/// silu(gate) * up; both of one shape and type. Gradients to both.
mx::array swiglu_fused(const mx::array& gate, const mx::array& up);

/// x [..., D], weight [D]. Gradients to both.
mx::array rms_norm_fused(const mx::array& x, const mx::array& weight, float eps);

}  // namespace pupil::cpu
