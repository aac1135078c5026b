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

#include "algo/kl.h"
#include "algo/loss_types.h"
#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

/// Over what the policy ratio is taken: a token, the mean of a sequence's tokens, their
/// sum.
enum class Ratio { token, sequence, sequence_sum };

/// Of TRL's `importance_sampling_level`, token | sequence, or "sequence_sum", that of
/// its RLOOTrainer. Throws std::invalid_argument on another name.
Ratio ratio_of(std::string_view importance_sampling_level);

/// The defaults are TRL's.
struct PolicyLossConfig {
  Ratio ratio = Ratio::token;
  Surrogate surrogate = Surrogate::clipped;
  Aggregate aggregate = Aggregate::sequence_mean;
  double epsilon = 0.2;              // the clipped ratio stays above 1 - epsilon
  double epsilon_high = 0.2;         // and below 1 + epsilon_high; cispo: its cap
  std::optional<double> delta = {};  // cap of the unclipped ratio (two-sided clipping)
  double beta = 0.0;                 // weight of KL(policy || reference); 0 needs none
  bool use_bias_correction_kl = true;  // multiply the KL estimate by the ratio
  KlEstimator kl_estimator = KlEstimator::k3;
  double top_entropy_quantile =
      1.0;  // share of tokens, of the highest entropy, to keep
  std::optional<double> off_policy_mask_threshold = {};  // nats a token
  double entropy_coef = 0.0;                             // weight of the entropy bonus
  double sapo_temperature_pos = 1.0, sapo_temperature_neg = 1.05;
  double vespo_k_pos = 2.0, vespo_lambda_pos = 3.0;
  double vespo_k_neg = 3.0, vespo_lambda_neg = 2.0;
  double kl_cov_coef = 1.0;  // weight of |log ratio| on the tokens that kl_cov selects
};

struct PolicyLossInputs {
  mx::array logprobs;  // [N, T] policy, nats, differentiated; any value where masked
  mx::array old_logprobs;                   // [N, T] policy that sampled the tokens
  std::optional<mx::array> ref_logprobs;    // [N, T] frozen reference
  mx::array advantages;                     // [N]
  mx::array mask;                           // [N, T] float32, 1 on tokens of the loss
  std::optional<mx::array> entropies = {};  // [N, T] nats
  std::optional<mx::array> sampler_logprobs = {};  // [N, T], NaN: unknown
  std::optional<mx::array> importance = {};  // [N, T] or [N, 1] old policy / sampler
  std::optional<mx::array> selected = {};    // [N, T] 1 on tokens that *_cov selects
};

/// Totals over the optimizer step, every microbatch included. A completion that is
/// masked out whole still counts as a sequence, as in TRL; an unscored one does not.
struct StepTotals {
  double num_sequences = 0;
  double num_tokens = 0;             // tokens of the loss
  double max_completion_length = 1;  // the configured limit, for Aggregate::constant
  // Tokens that the entropy bonus averages over; none: num_tokens.
  std::optional<double> num_entropy_tokens = {};
  double kl_baseline = 0;  // kto: nats of a completion, see algo/preference_loss.h
  // Least entropy of a token kept by top_entropy_quantile; none: of this microbatch.
  std::optional<float> entropy_threshold = {};
};

struct PolicyLoss {
  mx::array loss;   // scalar float32, to minimise
  mx::array ratio;  // [N, T] policy / old policy, capped by delta, no gradient
  std::optional<mx::array> kl;   // [N, T] nats, as it enters the loss, no gradient
  std::optional<mx::array> phi;  // [N, 1] vespo's weight of the sequence, no gradient
};

/// With r = exp(logprobs - old_logprobs), or that of the sequence's mean difference for
/// Ratio::sequence (GSPO eq. 7, arXiv:2507.18071) and of its sum for
/// Ratio::sequence_sum (a completion as one action, arXiv:2402.14740), s the surrogate
/// of algo/surrogates.h and kl of algo/kl.h:
///   l = s keep importance + beta kl (r if use_bias_correction_kl)
/// where keep is 0 on sequences that the off-policy mask drops and on tokens below the
/// entropy quantile. The loss is, over the tokens of the mask and the sequences i of
/// the step,
///   sequence_mean  sum_i (sum_t l / tokens of i) / num_sequences
///   token_mean     sum l / num_tokens
///   constant       sum l / (num_sequences * max_completion_length)
///   sequence_sum   sum l / num_sequences
/// less entropy_coef times the mean entropy of the kept tokens of the mask.
/// Throws std::invalid_argument if a setting's input is missing or an input has another
/// shape.
PolicyLoss policy_loss(
    const PolicyLossInputs& in,
    const PolicyLossConfig& config,
    const StepTotals& totals);

/// Zero where the mask is 0. Padding may hold anything, infinities included: selects,
/// never multiplies. [N, T], [N, T] -> [N, T]
mx::array masked(const mx::array& x, const mx::array& mask);

/// Tokens of the loss in each sequence, at least 1. [N, T] -> [N, 1]
mx::array token_counts(const mx::array& mask);

}  // namespace pupil
