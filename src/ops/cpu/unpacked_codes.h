// Weights of the modes that are not affine as a dense matrix.

#pragma once

#include "ops/linear.h"

namespace pupil::cpu {

/// The matrix [out, in] of an mxfp4, mxfp8 or nvfp4 weight in bfloat16:
/// mx::dequantize's numbers to the bit, in one operation. The weight is checked.
mx::array unpacked_codes(const QuantizedWeight& weight);

}  // namespace pupil::cpu
