// 95 % intervals by the percentile bootstrap (Efron 1979): tasks are drawn with
// replacement, 10 000 times. Pure functions; the seed decides every draw.

#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace pupil {

struct Interval {
  double mean = 0, low = 0, high = 0;
  int count = 0;  // tasks behind it; with 0 the numbers mean nothing
};

using TaskValues = std::span<const std::optional<double>>;  // [tasks], none: unscored

/// Of the mean over the tasks that have a value.
Interval bootstrap_mean(TaskValues values, uint64_t seed);

/// Of mean(after - before) over the tasks that have both: the same tasks, so what makes
/// some tasks harder than others cancels out. Throws std::invalid_argument if the two
/// differ in length.
Interval bootstrap_difference(TaskValues before, TaskValues after, uint64_t seed);

}  // namespace pupil
