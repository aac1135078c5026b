#pragma once

#include "ops/rope.h"

namespace pupil::cpu {

/// Turns `heads` heads of `width` by one token's angles, in place.
void rope_row(float* x, const float* cos, const float* sin, int heads, int width);

/// rope (ops/rope.h) on a CPU stream, with its gradient to x.
mx::array rope_fused(const mx::array& x, const RopeTable& table);

}  // namespace pupil::cpu
