// Entropy of the next token, with a gradient: what an entropy bonus needs.

#pragma once

#include "ops/token_logprobs.h"

namespace pupil {

/// -sum p log p of p = softmax(head(hidden) / temperature), in nats. hidden [N, D] ->
/// [N] float32. Gradient to `hidden`; at most `chunk` rows of logits exist at a time,
/// and the backward pass computes them again.
mx::array token_entropy(
    const mx::array& hidden, const HeadFn& head, float temperature, int chunk = 256);

}  // namespace pupil
