// The reward `length`: answers are not to fill all the room there is.

#pragma once

#include "data/types.h"

namespace pupil {

struct LengthLimits {
  int max_tokens = 256;  // TRL's max_completion_len
  int soft_tokens = 51;  // TRL's soft_punish_cache; 0: no slope
};

/// The soft overlong punishment of DAPO (arXiv:2503.14476, eq. 13), as TRL's
/// get_soft_overlong_punishment, of an answer of `length` tokens:
///   0                                                   length <= max - soft
///   ((max - soft) - length) / soft    from 0 down to -1
///   -1                                                  length > max
double overlong_punishment(size_t length, const LengthLimits& limits);

/// An answer whose tokens are not known is unscored. Throws std::invalid_argument
/// if `soft_tokens` is larger than `max_tokens`.
RewardFn length_reward(const LengthLimits& limits);

}  // namespace pupil
