// What a policy update did, measured over the tokens of the loss and added up over the
// microbatches of a step. Pure functions; the names in metrics.jsonl are TRL's.

#pragma once

#include <limits>
#include <optional>

#include "algo/policy_loss.h"

namespace pupil {

/// Sums over a step's tokens. Addition of two is the step's sum.
struct PolicyMetrics {
  double num_tokens = 0;
  double entropy = 0;  // nats
  double kl = 0;       // nats, as it entered the loss
  double clipped_low = 0, clipped_high = 0;
  // Smallest and largest share of clipped tokens of a sequence.
  double low_min = std::numeric_limits<double>::infinity();
  double high_max = 0;
  double num_sampled = 0;      // tokens whose sampler's log-probability is known
  double logp_difference = 0;  // sum of |trainer - sampler|, nats
  double logp_difference_max = 0;

  PolicyMetrics& operator+=(const PolicyMetrics& other);
  double per_token(double sum) const { return num_tokens > 0 ? sum / num_tokens : 0; }
  double mean_logp_difference() const {
    return num_sampled > 0 ? logp_difference / num_sampled : 0;
  }
};

/// entropy [N, T]; sampler_logprobs [N, T], NaN where the sampler gave none.
/// Clipped: ratio < 1 - epsilon with A < 0, or ratio > 1 + epsilon_high with A > 0.
PolicyMetrics measure(
    const PolicyLossInputs& in,
    const PolicyLoss& loss,
    const PolicyLossConfig& config,
    const mx::array& entropy,
    const mx::array& sampler_logprobs);

}  // namespace pupil
