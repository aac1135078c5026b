#pragma once

#include <span>

#include "train/learner.h"

namespace pupil {

/// KTO's z (arXiv:2402.01306, section 4.1): the policy's divergence from the reference,
/// estimated from answers to other prompts, each group's first by the prompt after it:
/// the mean of sum_t log p - log p_ref over them, at least 0. As TRL has it, over the
/// step. No gradient.
double kto_baseline(
    const Learner& learner,
    std::span<const RolloutGroup> groups,
    const BatchConfig& config);

}  // namespace pupil
