#pragma once

#include "ops/rope.h"

namespace pupil::cpu {

/// rope (ops/rope.h) on a CPU stream, with its gradient to x.
mx::array rope_fused(const mx::array& x, const RopeTable& table);

}  // namespace pupil::cpu
