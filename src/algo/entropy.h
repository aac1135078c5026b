// The weight of the entropy bonus, fixed or moved toward a target.

#pragma once

#include <algorithm>
#include <limits>

namespace pupil {

/// TRL's: with `adaptive` the coefficient moves by `delta` after each step, up while
/// the entropy is at most the target and down above it, and the bonus is applied only
/// while the last entropy was at most the target; not before there is one.
struct EntropyControl {
  double coef = 0;
  bool adaptive = false;
  double coef_min = 0, coef_max = 1;
  double delta = 0.005;
  double target = 0.2;  // nats a token
  double last_entropy = std::numeric_limits<double>::infinity();

  bool enabled() const { return coef != 0 || adaptive; }

  /// The coefficient of the next step's loss.
  double applied() const { return !adaptive || last_entropy <= target ? coef : 0.0; }

  /// Told the step's mean entropy.
  void update(double entropy) {
    if (!adaptive) return;
    coef = entropy <= target ? std::min(coef + delta, coef_max)
                             : std::max(coef - delta, coef_min);
    last_entropy = entropy;
  }
};

}  // namespace pupil
