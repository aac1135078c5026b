#include "train/proportions.h"

#include <algorithm>
#include <cmath>

namespace pupil {

namespace {

constexpr double kZ = 1.959963984540054;  // of 95 %, two-sided

double log_choose(int n, int k) {
  return std::lgamma(n + 1.0) - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0);
}

}  // namespace

Interval wilson_interval(int passed, int count) {
  if (count == 0) return {};
  const double n = count, p = passed / n, z2 = kZ * kZ;
  const double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kZ / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return {
      p,
      passed == 0 ? 0.0 : middle - half,
      passed == count ? 1.0 : middle + half,
      count};
}

double mcnemar_p(int gained, int lost) {
  const int n = gained + lost;
  double tail = 0;
  for (int i = 0; i <= std::min(gained, lost); ++i) {
    tail += std::exp(log_choose(n, i) - n * std::log(2.0));
  }
  return std::min(1.0, 2 * tail);
}

}  // namespace pupil
