// The products of linear layers as MLX operations of the CPU.

#pragma once

#include "ops/cpu/arrays.h"
#include "ops/linear.h"

namespace pupil::cpu {

/// x [..., in] W^T -> [..., out], or with `transposed` false dy [..., out] W -> [...,
/// in], in x's type; sums in float32. W [out, in] f32, f16 or bf16. Gradients to both.
mx::array dense_product(const mx::array& x, const mx::array& weight, bool transposed);

/// The same for a tiled weight of 4 or 8 bits, its scales and biases of one float type.
/// Gradient to x only.
mx::array quantized_product(
    const mx::array& x, const QuantizedWeight& weight, bool transposed);

/// Both of them with a low-rank term: x W^T + scale (x A) B in one pass over the
/// output. Gradients to x, A and B.
mx::array dense_product(
    const mx::array& x, const mx::array& weight, const LowRank& low_rank);
mx::array quantized_product(
    const mx::array& x, const QuantizedWeight& weight, const LowRank& low_rank);

}  // namespace pupil::cpu
