// The optimizer's arithmetic on the CPU: all arrays of a list as one job.

#pragma once

#include "ops/adamw.h"

namespace pupil::cpu {

/// adamw_step (ops/adamw.h) in CPU memory.
void adamw_step_fused(
    const AdamWState& state, std::vector<mx::array> grads, const AdamWStep& step);

/// global_norm (ops/adamw.h) in CPU memory.
float global_norm_fused(const std::vector<mx::array>& arrays);

}  // namespace pupil::cpu
