// The reward `tests`: the share of a task's tests that an answer's code passes.

#pragma once

#include <memory>

#include "data/types.h"
#include "reward/sandbox.h"

namespace pupil {

/// Scores a sample by its share of tests passed. A task without tests is unscored, and
/// so is a sample whose box did not start; an answer without code scores 0. Equal code
/// for the same task is run once. At most `workers` boxes run at a time.
RewardFn tests_reward(std::shared_ptr<const Sandbox> sandbox, unsigned workers);

}  // namespace pupil
