// Dynamic loss scaling, for models whose activations are float16.

#pragma once

#include <nlohmann/json.hpp>

namespace pupil {

/// What the loss is multiplied by before it is differentiated, and the gradient divided
/// by: float16 has no numbers below 6e-8, and gradients of activations often are
/// (arXiv:1710.03740, section 3.2). Moves as torch.amp.GradScaler's: halves when a
/// gradient overflows, doubles after `window` steps in a row without. A power of two
/// from 1 to 2^24, so that dividing by it is exact.
struct LossScale {
  double scale = 65536;
  int good_steps = 0;  // in a row, since the scale moved
  int window = 200;

  /// After a step whose gradient was finite.
  void keep();

  /// After one whose was not. False at 1: then the scale is not to blame.
  bool lower();
};

/// For a checkpoint, and back; `window` is the config's.
nlohmann::json to_json(const LossScale& scale);
LossScale loss_scale_of(const nlohmann::json& json, int window);

}  // namespace pupil
