// What a policy update did, measured over the tokens of the loss and added up over the
// microbatches of a step. Pure functions; the names in metrics.jsonl are TRL's.

#pragma once

#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "algo/policy_loss.h"

namespace pupil {

/// Sums over a step's tokens. Addition of two is the step's sum.
struct PolicyMetrics {
  double num_tokens = 0;
  double entropy = 0;  // nats
  double kl = 0;       // nats, as it entered the loss
  // Ratios that were looked at: one a token, or one a sequence.
  double num_ratios = 0;
  double clipped_low = 0, clipped_high = 0;
  std::vector<double> ratios;  // [num_ratios], for a histogram
  // Smallest and largest share of clipped ratios of a sequence.
  double low_min = std::numeric_limits<double>::infinity();
  double high_max = -std::numeric_limits<double>::infinity();
  double num_sequences = 0;
  double phi = 0;  // vespo's weights of the sequences
  // Sampler correction: weights of tokens, or of sequences.
  double num_importance = 0;
  double importance = 0;
  double importance_min = std::numeric_limits<double>::infinity();
  double importance_max = -std::numeric_limits<double>::infinity();
  double num_sampled = 0;      // tokens whose sampler's log-probability is known
  double logp_difference = 0;  // sum of |trainer - sampler|, nats
  double logp_difference_max = 0;

  PolicyMetrics& operator+=(const PolicyMetrics& other);
  double per_token(double sum) const { return num_tokens > 0 ? sum / num_tokens : 0; }
  double per_ratio(double sum) const { return num_ratios > 0 ? sum / num_ratios : 0; }
  double mean_logp_difference() const {
    return num_sampled > 0 ? logp_difference / num_sampled : 0;
  }
};

/// entropy [N, T]; sampler_logprobs [N, T], NaN where the sampler gave none: their
/// distance is that to `in.old_logprobs`, the trainer's own of the sampling policy.
/// Clipped: ratio < 1 - epsilon with A < 0, or ratio > 1 + epsilon_high with A > 0. For
/// cispo, whose cap is epsilon_high itself, ratio > epsilon_high with A > 0; for gmpo,
/// whose bounds are those of the log ratio, log ratio < -epsilon, > epsilon_high.
PolicyMetrics measure(
    const PolicyLossInputs& in,
    const PolicyLoss& loss,
    const PolicyLossConfig& config,
    const mx::array& entropy,
    const mx::array& sampler_logprobs);

/// Adds the weights of the sampler correction: of the tokens of the mask, or of the
/// sequences. mask [N, T]; importance [N, T], `by_sequence` [N, 1].
void add_importance(
    PolicyMetrics& metrics,
    const mx::array& importance,
    const mx::array& mask,
    bool by_sequence);

/// TRL's names and means of what the loss clips: `clip_ratio/*`, `cispo_clip_ratio` or
/// `vespo/phi_seq_mean`, whichever the surrogate has; NaN where nothing was measured.
std::vector<std::pair<std::string, double>> clip_metrics(
    const PolicyMetrics& metrics, const PolicyLossConfig& config);

}  // namespace pupil
