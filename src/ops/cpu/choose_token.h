// How one row of logits becomes one token.

#pragma once

#include "ops/sample.h"

namespace pupil::cpu {

struct Choice {
  int token;
  float logprob;  // log-softmax(logits / T)[token], nats; greedy: T = 1
};

/// logits [size]; u in [0, 1). The kept tokens are those of ops/sample.h, ties
/// included; the token is the first, in the order of ids, at which their cumulative
/// probability exceeds u. A row without any finite logit gives token 0 and a NaN.
Choice choose_token(
    const float* logits, int size, float u, const Truncation& truncation);

}  // namespace pupil::cpu
