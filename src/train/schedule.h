#pragma once

#include <string_view>

namespace pupil {

enum class Schedule {
  constant,
  linear,
  cosine,
  cosine_with_min_lr,
  warmup_stable_decay
};

/// Of Hugging Face's `lr_scheduler_type`. Throws std::invalid_argument on another name.
Schedule schedule_of(std::string_view name);

struct ScheduleConfig {
  Schedule schedule = Schedule::constant;
  int warmup_steps = 0;
  int decay_steps = 0;      // warmup_stable_decay
  double min_lr_ratio = 0;  // cosine_with_min_lr, warmup_stable_decay
};

/// Factor of the peak learning rate at optimizer step `step` (from 0) of `max_steps`.
/// Linear warm-up, then 1, a straight line to 0, half a cosine to 0 or to
/// `min_lr_ratio`, or 1 until half a cosine over the last `decay_steps`. As Hugging
/// Face's schedules, but warm-up begins at 1 / warmup_steps and not at 0, where a step
/// would change nothing.
double schedule_factor(const ScheduleConfig& config, int step, int max_steps);

}  // namespace pupil
