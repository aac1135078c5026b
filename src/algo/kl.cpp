#include "algo/kl.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace pupil {

KlEstimator kl_estimator_of(std::string_view name) {
  if (name == "k1") return KlEstimator::k1;
  if (name == "k2") return KlEstimator::k2;
  if (name == "k3") return KlEstimator::k3;
  throw std::invalid_argument(
      "[kl] kl_estimator: expected k1, k2 or k3, got " + std::string(name));
}

mx::array kl_estimate(const mx::array& d, KlEstimator estimator) {
  switch (estimator) {
    case KlEstimator::k1:
      return -d;
    case KlEstimator::k2:
      return mx::square(d) * mx::array(0.5f);
    case KlEstimator::k3:
      return mx::exp(d) - d - mx::array(1.0f);
  }
  throw std::logic_error("[kl] unknown estimator");
}

double AdaptiveKl::next(double beta, double kl, double rollouts) const {
  if (target <= 0 || !std::isfinite(kl)) return beta;
  double error = std::clamp(kl / target - 1, -0.2, 0.2);
  // Rounds longer than the horizon must neither end it nor turn its sign.
  return beta * std::max(1 + error * rollouts / horizon, 0.5);
}

}  // namespace pupil
