// Codes that no kernel reads as codes of 4 or 8 bits that stand for the same numbers.

#pragma once

#include "ops/linear.h"

namespace pupil::cpu {

/// The same weight, number for number, in 4 or 8 bits of the affine mode. Affine codes
/// of 2 and 3 bits get 4, those of 5 and 6 get 8. An mxfp4 code is a multiple of half
/// the group's scale, from -12 to 12 halves: it becomes 8 bits with that half as scale
/// and -12 halves as bias, in bfloat16. Not for mxfp8 and nvfp4, which have finer steps
/// or shorter groups. The weight is checked and not tiled. Evaluates its arrays.
QuantizedWeight widened(const QuantizedWeight& weight);

}  // namespace pupil::cpu
