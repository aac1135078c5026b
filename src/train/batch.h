// From scored groups to the arrays of a forward and backward pass.
//
// Shapes: P prompt tokens, N completions, T the longest of them, M tokens of them all.

#pragma once

#include <optional>
#include <span>
#include <vector>

#include "algo/policy_loss.h"
#include "data/types.h"

namespace pupil {

/// Completions of one prompt, right padded.
struct Microbatch {
  mx::array prompt;            // [P] int32
  mx::array completions;       // [N, T] int32
  std::vector<int> lengths;    // [N]
  mx::array mask;              // [N, T] float32, 1 on completion tokens
  mx::array positions;         // [M] int32, where the mask is 1 in the flat [N * T]
  mx::array slots;             // [N, T] int32, index into [M], M where the mask is 0
  mx::array sampler_logprobs;  // [N, T] float32, NaN where the sampler gave none
  mx::array likelihood;        // [N, 1] bool, not sampled by the student: ratio 1
  mx::array advantages;        // [N] float32; of a pair 1 and -1
  // Filled in by the learner when it first sees the batch, where later steps need them.
  std::optional<mx::array> old_logprobs, ref_logprobs;  // [N, T]
  std::optional<mx::array> selected;  // [N, T] of *_cov, see train/token_plan.h
  size_t group;                       // which group of the step the rows come from,
  std::vector<size_t> rows;           // and which of its rollouts, [N]
};

struct BatchConfig {
  int max_tokens = 4096;  // P + M stays within it, but for a single completion
  int max_completion_length = 256;
  bool mask_truncated_completions = false;
  int top_k_samples = 0;    // of a group, those with the highest rewards; 0: all
  bool pairs = false;       // of a group the best and the worst, in one microbatch
  bool all_groups = false;  // those whose advantages are all 0, too
};

/// The policy that sampled, of which rows that the student did not write have the
/// current one: ratio 1. So have all where nothing else is known. No gradient.
/// `logprobs` of the policy as it is, [N, T] -> [N, T]
mx::array old_logprobs_of(const Microbatch& batch, const mx::array& logprobs);

/// Counts every scored rollout, the best `top_k_samples` of each group: sequences, and
/// tokens of the loss.
StepTotals totals_of(std::span<const RolloutGroup> groups, const BatchConfig& config);

/// The microbatches of a step. Only what teaches is in them: unscored rollouts, groups
/// whose advantages are all 0 (but for `all_groups`; of pairs, whose rewards are equal)
/// and, if configured, truncated completions and all but the best ones are left out, so
/// the arrays equal those of the same groups without them.
std::vector<Microbatch> pack(
    std::span<const RolloutGroup> groups, const BatchConfig& config);

}  // namespace pupil
