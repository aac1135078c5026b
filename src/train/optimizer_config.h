// Which optimizer, and its numbers. No MLX.

#pragma once

#include <string>

namespace pupil {

struct TrainConfig;

/// Values of train.optim, in the order of kOptimNames.
enum class Optim { adamw, adam, sgd, lion, adafactor, muon, adamw_8bit };

inline constexpr const char* kOptimNames =
    "adamw|adam|sgd|lion|adafactor|muon|adamw_8bit";

struct OptimizerConfig {
  Optim optim = Optim::adamw;
  double beta1 = 0.9;         // of the Adams, lion, and of muon's vectors
  double beta2 = 0.999;       // the same
  double eps = 1e-8;          // of the Adams, and of muon's vectors
  double momentum = 0.9;      // of sgd, and of muon's matrices
  double weight_decay = 0.0;  // of arrays of two dimensions only
};

/// As train.optim spells it.
std::string optim_name(Optim optim);

/// The optimizer of a run; what the user left unset is as the optimizer's authors have
/// it. Throws std::invalid_argument if a setting is given that the optimizer lacks.
OptimizerConfig optimizer_config(const TrainConfig& train);

}  // namespace pupil
