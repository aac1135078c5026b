// The reward `repetition`: answers are not to say the same thing over and over.

#pragma once

#include <span>

#include "data/types.h"

namespace pupil {

/// The share of n-grams of `tokens` that stand further left already:
///   1 - (different n-grams) / (n-grams)
/// 0 where there are fewer than `n` tokens. `n` is at least 1.
double repeated_share(std::span<const int> tokens, int n);

/// The repetition penalty of arXiv:2502.03373, appendix C.2, as TRL's
/// get_repetition_penalty_reward: `max_penalty` (at most 0) times the repeated share of
/// an answer's n-grams of tokens. An answer whose tokens are not known is unscored.
RewardFn repetition_reward(int ngram_size, double max_penalty);

}  // namespace pupil
