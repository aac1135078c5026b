// Log-probabilities of chosen tokens from hidden states, without ever holding logits
// for all positions: the head runs over chunks of rows, forward and backward.

#pragma once

#include <functional>

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

/// The output head: hidden [N, D] -> logits [N, V]. Frozen: no gradient to its weights.
using HeadFn = std::function<mx::array(const mx::array&)>;

struct TokenLogprobs {
  mx::array logprobs;  // [N] float32, nats
  mx::array entropy;   // [N] float32, nats, of the whole distribution; no gradient
};

/// log softmax(head(hidden) / temperature)[target] for each row.
/// hidden [N, D], targets [N] int32. Gradient to `hidden` through `logprobs`; at most
/// `chunk` rows of logits exist at a time, forward and backward, and they are computed
/// once: the forward pass keeps each row's direction d logprob / d hidden [N, D].
TokenLogprobs token_logprobs(
    const mx::array& hidden,
    const mx::array& targets,
    const HeadFn& head,
    float temperature,
    int chunk = 256);

/// The same from logits [N, V] that exist already, as the sampler has them; the same
/// arithmetic, so equal logits give equal bits. No gradient.
mx::array logprobs_of(
    const mx::array& logits, const mx::array& targets, float temperature);

}  // namespace pupil
