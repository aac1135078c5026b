// Checks on the run's own model, prompts and sampler before the first step: each stands
// for a mistake that would let training run on and learn nothing.

#pragma once

#include "train/learner.h"
#include "train/stages.h"

namespace pupil {

struct SelfCheckConfig {
  BatchConfig batch;
  float temperature = 1.0f;
  double max_logp_difference = 0.05;  // nats, mean over tokens
  int eos_id = -1;                    // -1: the model has none
};

/// Samples two completions of one prompt and throws std::runtime_error "[self-check]
/// ..." unless
///   - the trainer's log-probabilities are the sampler's,
///   - the gradient is not zero,
///   - the loss depends on the prompt,
///   - an end-of-sequence id is part of the loss.
/// Leaves learner and model as they were.
void self_check(
    const Decoder& model,
    Learner& learner,
    const Stages& stages,
    const SelfCheckConfig& config);

}  // namespace pupil
