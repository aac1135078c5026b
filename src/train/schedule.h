#pragma once

#include <string_view>

namespace pupil {

enum class Schedule { constant, linear, cosine };

/// Of Hugging Face's `lr_scheduler_type`. Throws std::invalid_argument on another name.
Schedule schedule_of(std::string_view name);

/// Factor of the peak learning rate at optimizer step `step` (from 0) of `max_steps`.
/// Linear warm-up, then 1, a straight line to 0, or half a cosine to 0. As Hugging
/// Face's schedules, but warm-up begins at 1 / warmup_steps and not at 0, where a step
/// would change nothing.
double schedule_factor(Schedule schedule, int step, int warmup_steps, int max_steps);

}  // namespace pupil
