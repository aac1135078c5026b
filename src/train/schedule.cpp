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
  if (name == "cosine_with_min_lr") return Schedule::cosine_with_min_lr;
  if (name == "warmup_stable_decay") return Schedule::warmup_stable_decay;
  throw std::invalid_argument(
      "[train] lr_scheduler_type: expected constant, linear, cosine, "
      "cosine_with_min_lr "
      "or warmup_stable_decay, got " +
      std::string(name));
}

namespace {

double half_cosine(double done, double least) {
  return least + (1 - least) * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
}

// The share of the steps from `begin` to `end` that are done.
double share(int step, int begin, int end) {
  double length = std::max(1, end - begin);
  return std::clamp((step - begin) / length, 0.0, 1.0);
}

}  // namespace

double schedule_factor(const ScheduleConfig& c, int step, int max_steps) {
  if (step < c.warmup_steps) return (step + 1.0) / c.warmup_steps;
  double done = share(step, c.warmup_steps, max_steps);
  switch (c.schedule) {
    case Schedule::constant:
      return 1.0;
    case Schedule::linear:
      return 1.0 - done;
    case Schedule::cosine:
      return half_cosine(done, 0);
    case Schedule::cosine_with_min_lr:
      return half_cosine(done, c.min_lr_ratio);
    case Schedule::warmup_stable_decay:
      return half_cosine(
          share(step, max_steps - c.decay_steps, max_steps), c.min_lr_ratio);
  }
  throw std::logic_error("[train] unknown schedule");
}

}  // namespace pupil
