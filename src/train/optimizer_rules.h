// One step of one array, for the optimizers that are plain MLX operations. Nothing is
// evaluated here.

#pragma once

#include "ops/block_codes.h"
#include "train/optimizer_config.h"

namespace pupil {

struct RuleStep {
  const OptimizerConfig& config;
  int step;  // from 1
  double learning_rate;
  double weight_decay;  // of this array
};

/// torch.optim.SGD: the decay is part of the gradient.
///   momentum = mu momentum + g + wd p;  p -= lr momentum
void sgd_rule(mx::array& p, const mx::array& g, mx::array& momentum, const RuleStep& s);

/// arXiv:2302.06675 algorithm 2, as mlx.optimizers.Lion. Steps are as long in every
/// direction, so the learning rate is a third to a tenth of AdamW's.
void lion_rule(mx::array& p, const mx::array& g, mx::array& m, const RuleStep& s);

/// arXiv:1804.04235 with the run's learning rate: transformers' Adafactor with
/// scale_parameter and relative_step off, as Hugging Face's Trainer has it. A matrix
/// [R, C] keeps the means of its squares by row [R] and by column [C], any other array
/// all of them in `v`.
void adafactor_rule(
    mx::array& p,
    const mx::array& g,
    mx::array& row,
    mx::array& column,
    mx::array& v,
    const RuleStep& s);

/// torch.optim.Muon with adjust_lr_fn "match_rms_adamw" (arXiv:2502.16982), in float32:
/// the momentum of a matrix made orthogonal, 0.2 sqrt(max(R, C)) long, so that AdamW's
/// learning rates hold.
void muon_rule(
    mx::array& p, const mx::array& g, mx::array& momentum, const RuleStep& s);

/// AdamW on moments that are unpacked for the step and packed again after it: what a
/// step moves by less than half a code is lost.
void adamw_8bit_rule(
    mx::array& p, const mx::array& g, BlockCodes& m, BlockCodes& v, const RuleStep& s);

}  // namespace pupil
