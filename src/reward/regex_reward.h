// The reward `regex`: whether an answer matches a pattern.

#pragma once

#include <string>

#include "data/types.h"

namespace pupil {

/// 1 where `pattern` matches somewhere in the answer, else 0. RE2 syntax: time is
/// linear in the answer's length and memory bounded, whatever pattern and answer are;
/// there are no look-around and no back-references. '.' also matches a newline; '^' and
/// '$' are the beginning and end of the whole answer, unless the pattern says (?m).
/// Throws std::invalid_argument that names the reward and what is wrong.
RewardFn regex_reward(const std::string& name, const std::string& pattern);

}  // namespace pupil
