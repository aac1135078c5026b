// The objective of one token, negated: what a policy loss averages. One function each.

#pragma once

#include "algo/policy_loss.h"

namespace pupil {

/// What every surrogate is computed from. Masked places hold zeros, ratio 1.
struct SurrogateInputs {
  mx::array logprobs;                   // [N, T]
  mx::array log_ratio;                  // [N, T] log policy / old policy of each token
  mx::array ratio;                      // [N, T], at the configured level
  mx::array advantages;                 // [N, 1]
  mx::array mask;                       // [N, T]
  std::optional<mx::array> keep;        // [N, T] tokens of the entropy quantile
  std::optional<mx::array> importance;  // [N, T] or [N, 1], part of vespo's ratio
  std::optional<mx::array> selected;    // [N, T] tokens that *_cov selects
};

/// [N, T]; with A the advantage, r the ratio, e and h epsilon and epsilon_high:
///   clipped     -min(min(r, delta) A, clip(r, 1 - e, 1 + h) A)
///   cispo       -stop(min(r, h)) A log p                             arXiv:2506.13585
///   sapo        -A sigmoid(t (r - 1)) 4 / t, t by the sign of A      arXiv:2511.20347
///   vespo       -stop(phi) A log p, phi of vespo_phi                 arXiv:2602.10693
///   gmpo        -A exp(mean_t c), c = log r with clip(log r, -e, h) as its bound in
///               the advantage's direction                            arXiv:2507.20673
///   clip_cov    clipped, 0 on the selected tokens                    arXiv:2505.22617
///   kl_cov      -r A, + kl_cov_coef |log r| on the selected tokens   the same
///   likelihood  -A log p
mx::array surrogate(const SurrogateInputs& in, const PolicyLossConfig& config);

/// phi(w) = w^k exp(lambda (1 - w)) of the sequences' ratios w = exp(sum log r), with k
/// and lambda by the sign of A. [N, 1], no gradient.
mx::array vespo_phi(const SurrogateInputs& in, const PolicyLossConfig& config);

/// min(r, delta), as it enters the clipped surrogate; r without delta.
mx::array capped_ratio(const mx::array& ratio, const PolicyLossConfig& config);

}  // namespace pupil
