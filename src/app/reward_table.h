// The reward functions by their names in config.yaml.

#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "config/config.h"
#include "reward/reward.h"
#include "reward/teacher.h"

namespace pupil {

/// Null if `teacher.provider` is none. `local` answers for provider local.
std::shared_ptr<Teacher> make_teacher(
    const Config& config, std::optional<LocalModel> local = {});

/// The rows of `reward.functions`, ready to run; logs the sandbox's boundary. Throws
/// std::invalid_argument for a teacher that is not configured, std::runtime_error for a
/// sandbox that cannot be set up.
std::vector<RewardFunction> make_rewards(
    const Config& config, const std::shared_ptr<Teacher>& teacher);

}  // namespace pupil
