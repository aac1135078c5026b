// Drawing tokens on the CPU: one or two passes over each row of logits.

#pragma once

#include "ops/sample.h"

namespace pupil::cpu {

/// sample_tokens (ops/sample.h) on a CPU stream.
SampledTokens sample_tokens_fused(
    const mx::array& logits, const mx::array& uniforms, const Truncation& truncation);

}  // namespace pupil::cpu
