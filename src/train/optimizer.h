// AdamW on a flat list of arrays.

#pragma once

#include <vector>

#include "mlx/mlx.h"
#include "ops/adamw.h"

namespace pupil {

namespace mx = mlx::core;

struct AdamWConfig {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;  // decoupled: times the learning rate, not in the moments
};

/// Decoupled weight decay, arXiv:1711.05101 algorithm 2, in PyTorch's order of
/// operations. Moments are float32. One thread.
class AdamW {
 public:
  AdamW(const std::vector<mx::array>& params, const AdamWConfig& config);

  /// Moves `params` (float32) against `grads` of the same shapes, each times
  /// `grad_scale`, and evaluates them. Overwrites arrays that nobody else holds, among
  /// them the gradients if they are moved in.
  void update(
      std::vector<mx::array>& params,
      std::vector<mx::array> grads,
      double learning_rate,
      double grad_scale = 1.0);

  /// What a resumed run needs, next to `step`.
  const std::vector<mx::array>& first_moments() const { return first_; }
  const std::vector<mx::array>& second_moments() const { return second_; }
  int step() const { return step_; }
  void restore(std::vector<mx::array> first, std::vector<mx::array> second, int step);

 private:
  AdamWConfig config_;
  std::vector<mx::array> first_, second_;
  int step_ = 0;
};

/// What gradients of this norm are multiplied by to have norm `max_norm` at most; 1
/// where that is 0. PyTorch's clip_grad_norm_.
double clip_scale(float norm, double max_norm);

}  // namespace pupil
