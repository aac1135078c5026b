// Policy-gradient losses: pure functions of arrays, with no model, I/O or state.
//
// The formulas are those of TRL's GRPOTrainer._compute_loss (1.16), with one departure:
// averages run over the whole optimizer step (`StepTotals`) and not over a microbatch,
// so that k microbatches add up to exactly one large batch. A method is a choice of
// settings, a row of algo/methods.h.
//
// Shapes: N completions in the microbatch, T completion tokens, right padded.

#pragma once

#include <optional>
#include <string_view>

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

enum class Ratio { token, sequence };  // over what the policy ratio is taken
enum class Aggregate { sequence_mean, token_mean, constant };  // how tokens average

/// Of TRL's `loss_type`: grpo | bnpo | dapo | dr_grpo. bnpo and dapo are one formula
/// when the whole step is the batch. Throws std::invalid_argument on another name.
Aggregate aggregate_of(std::string_view loss_type);

/// Of TRL's `importance_sampling_level`: token | sequence. Throws as above.
Ratio ratio_of(std::string_view importance_sampling_level);

struct PolicyLossConfig {
  Ratio ratio = Ratio::token;
  Aggregate aggregate = Aggregate::sequence_mean;
  float epsilon = 0.2f;             // the clipped ratio stays above 1 - epsilon
  float epsilon_high = 0.2f;        // and below 1 + epsilon_high
  std::optional<float> delta = {};  // cap of the unclipped ratio (two-sided clipping)
  float beta = 0.0f;                // weight of KL(policy || reference); 0 needs none
  bool use_bias_correction_kl = true;  // multiply the KL estimate by the ratio
};

struct PolicyLossInputs {
  mx::array logprobs;  // [N, T] policy, nats, differentiated; any value where masked
  mx::array old_logprobs;                 // [N, T] policy that sampled the tokens
  std::optional<mx::array> ref_logprobs;  // [N, T] frozen reference
  mx::array advantages;                   // [N]
  mx::array mask;                         // [N, T] float32, 1 on tokens of the loss
};

/// Totals over the optimizer step, every microbatch included. A completion that is
/// masked out whole still counts as a sequence, as in TRL; an unscored one does not.
struct StepTotals {
  double num_sequences = 0;
  double num_tokens = 0;             // tokens of the loss
  double max_completion_length = 1;  // the configured limit, for Aggregate::constant
};

struct PolicyLoss {
  mx::array loss;               // scalar float32, to minimise
  mx::array ratio;              // [N, T] policy / old policy, no gradient
  std::optional<mx::array> kl;  // [N, T] nats, as it enters the loss, no gradient
};

/// With r = exp(logprobs - old_logprobs), or its sequence mean for Ratio::sequence
/// (GSPO eq. 7, arXiv:2507.18071), A the advantage and k3 = exp(d) - d - 1 for
/// d = ref_logprobs - logprobs (http://joschu.net/blog/kl-approx.html):
///   l = -min(min(r, delta) A, clip(r, 1 - epsilon, 1 + epsilon_high) A)
///       + beta k3 (r if use_bias_correction_kl)
/// and the loss is, over the tokens of the mask and the sequences i of the step,
///   sequence_mean  sum_i (sum_t l / tokens of i) / num_sequences
///   token_mean     sum l / num_tokens
///   constant       sum l / (num_sequences * max_completion_length)
/// Throws std::invalid_argument if `beta` is set without `ref_logprobs`, or if an
/// input has another shape.
PolicyLoss policy_loss(
    const PolicyLossInputs& in,
    const PolicyLossConfig& config,
    const StepTotals& totals);

}  // namespace pupil
