// A program of the user's as a reward function.

#pragma once

#include "data/types.h"
#include "reward/program.h"

namespace pupil {

struct ProgramRewardOptions {
  ProgramOptions program;
  int batch_size = 64;             // items in one request
  bool stop_when_given_up = true;  // throw then; false: unscored
};

/// Sends the samples in their order, `batch_size` at a time, as
/// {"prompt", "completion", "task": {"id", "language", "entry_point", "tests", "setup",
/// "solution", and the keys of the task's line that are the user's own}}.
/// Where a request fails, each of its items is sent once more, alone, so that one
/// answer on which the program fails costs no other its score; what fails then is
/// unscored, with the reason. The process lives until the last copy of the function is
/// gone.
///
/// Throws std::invalid_argument if there is no such program or (with
/// `stop_when_given_up`) if it ends as soon as it is started. The function throws
/// std::runtime_error once the program is given up (with `stop_when_given_up`).
RewardFn program_reward(ProgramRewardOptions options);

/// The environment of this process for a child, without the variables named in
/// `hidden`.
std::vector<std::string> environment_without(const std::vector<std::string>& hidden);

}  // namespace pupil
