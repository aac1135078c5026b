#include "train/bootstrap.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "base/random.h"

namespace pupil {

namespace {

constexpr int kResamples = 10000;

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double resampled_mean(
    const std::vector<double>& values, uint64_t seed, uint64_t trial) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += values[keyed_bits({seed, trial, i}) % values.size()];
  }
  return sum / static_cast<double>(values.size());
}

Interval interval_of(const std::vector<double>& values, uint64_t seed) {
  if (values.empty()) return {};
  std::vector<double> means;
  for (int trial = 0; trial < kResamples; ++trial) {
    means.push_back(resampled_mean(values, seed, trial));
  }
  std::sort(means.begin(), means.end());
  return {
      mean_of(values),
      means[kResamples * 25 / 1000],
      means[kResamples * 975 / 1000],
      static_cast<int>(values.size())};
}

}  // namespace

Interval bootstrap_mean(TaskValues values, uint64_t seed) {
  std::vector<double> known;
  for (const auto& value : values) {
    if (value) known.push_back(*value);
  }
  return interval_of(known, seed);
}

Interval bootstrap_difference(TaskValues before, TaskValues after, uint64_t seed) {
  if (before.size() != after.size()) {
    throw std::invalid_argument("[bootstrap] before and after are not the same tasks");
  }
  std::vector<double> differences;
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i] && after[i]) differences.push_back(*after[i] - *before[i]);
  }
  return interval_of(differences, seed);
}

}  // namespace pupil
