// Log-probability, entropy and gradient of chosen tokens from rows of logits, in one
// pass over the row on the CPU, in plain MLX elsewhere.

#pragma once

#include <optional>

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

struct TokenStats {
  mx::array logprobs;                 // [N] float32, nats
  mx::array entropy;                  // [N] float32, nats, of softmax(logits / T)
  std::optional<mx::array> gradient;  // [N, V] float32, d logprobs / d logits
};

/// For p = softmax(logits / temperature) of each row: log p[target], -sum p log p and,
/// where asked for, (onehot(target) - p) / temperature.
/// logits [N, V] any float, targets [N] int32 in [0, V). A logit that is NaN or +inf
/// makes its row's results NaN. Nothing of it is differentiable.
TokenStats token_stats(
    const mx::array& logits,
    const mx::array& targets,
    float temperature,
    bool with_gradient);

/// The definition, in plain MLX ops.
TokenStats token_stats_fallback(
    const mx::array& logits,
    const mx::array& targets,
    float temperature,
    bool with_gradient);

}  // namespace pupil
