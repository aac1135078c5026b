// Which tokens of a step are learned from, where that takes all of its microbatches to
// say: the highest entropies, the highest covariances.

#pragma once

#include <span>

#include "algo/token_choice.h"
#include "train/learner.h"

namespace pupil {

struct TokenPlan {
  StepTotals totals;              // with the entropy threshold and the tokens above it
  std::optional<double> entropy;  // mean of these tokens, nats
};

/// Whether the loss of these settings needs a plan.
bool needs_token_plan(const PolicyLossConfig& loss);

/// Runs the policy over every microbatch, without gradients, and fills in their
/// `selected`. `seed` chooses among equals for clip_cov. No microbatch split changes
/// the plan but by rounding.
TokenPlan plan_tokens(
    const Learner& learner,
    std::span<Microbatch> batches,
    const StepTotals& totals,
    const CovarianceChoice& choice,
    uint64_t seed);

}  // namespace pupil
