#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>

namespace pupil {

Schedule schedule_of(std::string_view name) {
  if (name == "constant") return Schedule::constant;
  if (name == "linear") return Schedule::linear;
  if (name == "cosine") return Schedule::cosine;
  throw std::invalid_argument(
      "[train] lr_scheduler_type: expected constant, linear or cosine, got " +
      std::string(name));
}

double schedule_factor(Schedule schedule, int step, int warmup_steps, int max_steps) {
  if (step < warmup_steps) return (step + 1.0) / warmup_steps;
  double length = std::max(1, max_steps - warmup_steps);
  double done = std::clamp((step - warmup_steps) / length, 0.0, 1.0);
  switch (schedule) {
    case Schedule::constant:
      return 1.0;
    case Schedule::linear:
      return 1.0 - done;
    case Schedule::cosine:
      return 0.5 * (1.0 + std::cos(std::numbers::pi * done));
  }
  throw std::logic_error("[train] unknown schedule");
}

}  // namespace pupil
