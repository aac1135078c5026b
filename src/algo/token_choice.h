// Which tokens a policy loss keeps: by entropy, by distance to the sampler, by
// covariance.

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

/// The quantile `q` in [0, 1] of `values`, linear between neighbours, in float32 as
/// torch.quantile computes it. None of no values.
std::optional<float> quantile(std::vector<float> values, double q);

/// The entropy above which a token belongs to the share `top_entropy_quantile` of those
/// with mask 1 (arXiv:2506.01939). Infinity if there are none. entropies, mask [N, T]
float entropy_threshold_of(
    const mx::array& entropies, const mx::array& mask, double top_entropy_quantile);

/// 1 on sequences that stay in the loss: those with A >= 0 and those whose mean of
/// log p_sampler - log p is at most `threshold` (DeepSeek-V3.2, arXiv:2512.02556). A
/// NaN in `sampler_logprobs` counts as no distance. logprobs, sampler_logprobs, mask
/// [N, T], advantages [N, 1] -> [N, 1], no gradient
mx::array off_policy_keep(
    const mx::array& logprobs,
    const mx::array& sampler_logprobs,
    const mx::array& advantages,
    const mx::array& mask,
    double threshold);

/// Tokens by (A - mean A) (log p - mean log p), the covariance of arXiv:2505.22617.
/// Both lists hold the step's tokens in one order. 1: selected.
struct CovarianceChoice {
  double share = 0.0002;                     // of all tokens; at least one is selected
  double low = 1.0, high = 5.0;              // clip_cov: bounds of the covariance
  double epsilon = 0.2, epsilon_high = 0.2;  // clip_cov: those of the ratio
};

/// The tokens of the highest covariance.
std::vector<float> choose_kl_cov(
    const std::vector<float>& advantages,
    const std::vector<float>& logprobs,
    const CovarianceChoice& choice);

/// Random ones, by `seed`, among those between the bounds. Not those that the clipped
/// surrogate holds already: `log_ratios` are log p - log p of the old policy.
std::vector<float> choose_clip_cov(
    const std::vector<float>& advantages,
    const std::vector<float>& logprobs,
    const std::vector<float>& log_ratios,
    const CovarianceChoice& choice,
    uint64_t seed);

}  // namespace pupil
