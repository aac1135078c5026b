// The reward `format`: whether an answer has the form that is asked for.

#pragma once

#include "data/types.h"

namespace pupil {

/// Of one answer, the first row that fits:
///   1.0  one closed Python block, it parses and defines the entry point
///   0.7  the same among several blocks, or in a block that was not closed
///   0.5  a Python block that parses but does not define the entry point
///   0.3  no block, but the whole answer parses and defines the entry point
///   0.2  a Python block that does not parse
///   0.0  else
/// A task without an entry point asks for any function or class. Answers in another
/// language than Python are unscored.
Score format_score(const Task& task, const Completion& completion);

RewardFn format_reward();

}  // namespace pupil
