// Drawing a token from each row of logits.

#pragma once

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

/// How logits become a distribution: temperature, then top-k, top-p, min-p in this
/// order, each on what the one before it left (Hugging Face's order).
struct Truncation {
  float temperature = 1.0f;  // 0 is greedy
  int top_k = 0;             // 0: all
  float top_p = 1.0f;
  float min_p = 0.0f;
};

struct SampledTokens {
  mx::array tokens;    // [R] int32
  mx::array logprobs;  // [R] float32, nats, log-softmax(logits / T) before truncation;
                       // greedy: T = 1
};

/// Draws from row r by the inverse of its cumulative distribution at uniforms[r]: the
/// same number gives the same token whatever the other rows are.
/// logits [R, V] any float, uniforms [R] float32 in [0, 1).
SampledTokens sample_tokens(
    const mx::array& logits, const mx::array& uniforms, const Truncation& truncation);

/// The definition, in plain MLX ops.
SampledTokens sample_tokens_fallback(
    const mx::array& logits, const mx::array& uniforms, const Truncation& truncation);

}  // namespace pupil
