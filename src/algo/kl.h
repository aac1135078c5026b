// The divergence from a reference: estimators and the control of its weight.

#pragma once

#include <string_view>

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

enum class KlEstimator { k1, k2, k3 };

/// k1 | k2 | k3. Throws std::invalid_argument on another name.
KlEstimator kl_estimator_of(std::string_view name);

/// Estimates of KL(policy || reference) from the policy's samples, by
/// d = log p_ref - log p of each token (http://joschu.net/blog/kl-approx.html):
///   k1  -d                unbiased, may be negative
///   k2  d^2 / 2           biased, its gradient is not
///   k3  exp(d) - d - 1    unbiased and never negative; TRL's
mx::array kl_estimate(const mx::array& d, KlEstimator estimator);

/// The weight of the KL term, moved toward a target divergence
/// (arXiv:1909.08593, section 2.2): after n rollouts with mean divergence kl
///   beta *= 1 + clip(kl / target - 1, -0.2, 0.2) n / horizon
struct AdaptiveKl {
  double target = 0;   // nats a token; 0: beta stays
  double horizon = 1;  // rollouts
  double next(double beta, double kl, double rollouts) const;
};

}  // namespace pupil
