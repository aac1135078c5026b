// Packing a dense matrix.

#pragma once

#include "ops/linear.h"

namespace pupil {

/// mx::quantize of a matrix [out, in] of floats, or a stack of them, to the bit. In
/// slices of rows, one after the other, where MLX has no operation of its own but
/// dozens that each hold an array as large as their input: the modes other than affine.
/// Throws std::invalid_argument if MLX has not these sizes, or rows do not divide into
/// groups.
QuantizedWeight pack_weight(const mx::array& dense, const Quantization& packing);

}  // namespace pupil
