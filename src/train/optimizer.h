// The optimizer of a flat list of arrays.

#pragma once

#include <map>
#include <string>
#include <vector>

#include "mlx/mlx.h"
#include "ops/adamw.h"
#include "train/optimizer_config.h"

namespace pupil {

namespace mx = mlx::core;

/// Arrays of several kinds, each with one for a trained array, in the same order.
using ArrayKinds = std::map<std::string, std::vector<mx::array>>;

/// Keeps, by kind:
///   adamw, adam   m, v
///   sgd           momentum
///   lion          m
///   adafactor     row [R] and column [C] of a matrix [R, C], v of other arrays
///   muon          momentum of matrices, m and v of other arrays, which go by AdamW
///   adamw_8bit    m_codes, m_scales, v_codes, v_scales (ops/block_codes.h) of arrays
///                 of 4096 numbers on, m and v of smaller ones
/// all float32 and of the array's shape where no other is given; a kind that an array
/// does not use has a scalar there. Weight decay is not applied to arrays of one
/// dimension: norms, biases, magnitudes. One thread.
class Optimizer {
 public:
  Optimizer(const std::vector<mx::array>& params, const OptimizerConfig& config);

  /// Moves `params` (float32) against `grads` of the same shapes, each times
  /// `grad_scale`, and evaluates them. Of AdamW overwrites arrays that nobody else
  /// holds, among them the gradients if they are moved in.
  void update(
      std::vector<mx::array>& params,
      std::vector<mx::array> grads,
      double learning_rate,
      double grad_scale = 1.0);

  /// What a resumed run needs, next to `step`.
  const ArrayKinds& state() const { return state_; }
  int step() const { return step_; }
  /// Throws std::invalid_argument if the kinds, or their shapes, are not this one's.
  void restore(ArrayKinds state, int step);

  std::string name() const { return optim_name(config_.optim); }

 private:
  bool by_adamw(const mx::array& p) const;
  mx::array& kept(const char* kind, size_t i) { return state_.at(kind)[i]; }
  void add_state(const mx::array& p);
  void adamw(
      const std::vector<size_t>& places,
      std::vector<mx::array>& params,
      std::vector<mx::array>& grads,
      const AdamWStep& step);
  void by_rule(size_t i, mx::array& p, const mx::array& g, double learning_rate);
  void by_8bit(size_t i, mx::array& p, const mx::array& g, const struct RuleStep& s);
  AdamWStep adamw_numbers(double learning_rate, double grad_scale) const;
  double weight_decay(const mx::array& p) const;

  OptimizerConfig config_;
  ArrayKinds state_;
  int step_ = 0;
};

/// What gradients of this norm are multiplied by to have norm `max_norm` at most; 1
/// where that is 0. PyTorch's clip_grad_norm_.
double clip_scale(float norm, double max_norm);

}  // namespace pupil
