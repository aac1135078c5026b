// The products of linear layers as MLX operations of the CPU.

#pragma once

#include <vector>

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

/// The same with a low-rank term: x W^T + scale (x A) B in one pass over the output.
/// Gradients to x, A and B.
mx::array dense_product(
    const mx::array& x, const mx::array& weight, const LowRank& low_rank);

/// Of packed weights of one format with terms of one scale: x is coded once for all,
/// and the way back sums their gradients to x.
std::vector<mx::array> quantized_products(
    const mx::array& x,
    const std::vector<QuantizedWeight>& weights,
    const std::vector<LowRank>& terms);

}  // namespace pupil::cpu
