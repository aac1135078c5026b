// One ragged microbatch with log-ratios on both sides of every clip bound.

#pragma once

#include <vector>

#include "algo/policy_loss.h"

namespace pupil {

inline constexpr int kRows = 4, kWidth = 5;
inline constexpr int kLengths[kRows] = {5, 3, 1, 4};
inline constexpr float kAdvantages[kRows] = {1.2f, -0.7f, 0.4f, -0.9f};

inline double logprob_at(int i, int t) {
  return -((i * 3 + t * 2) % 7 + 1) * 0.3;
}
inline double old_at(int i, int t) {
  return logprob_at(i, t) + ((i + 2 * t) % 5 - 2) * 0.13;
}
inline double ref_at(int i, int t) {
  return logprob_at(i, t) + ((2 * i + t) % 3 - 1) * 0.21;
}

template <class F>
mx::array table(F&& at, int first = 0, int last = kRows) {
  std::vector<float> values;
  for (int i = first; i < last; ++i) {
    for (int t = 0; t < kWidth; ++t) values.push_back(static_cast<float>(at(i, t)));
  }
  return mx::array(values.data(), {last - first, kWidth}, mx::float32);
}

/// Rows [first, last) of the case.
inline PolicyLossInputs loss_case(int first = 0, int last = kRows) {
  auto mask = [](int i, int t) { return t < kLengths[i] ? 1.0 : 0.0; };
  return {
      table(logprob_at, first, last),
      table(old_at, first, last),
      table(ref_at, first, last),
      mx::array(kAdvantages + first, {last - first}, mx::float32),
      table(mask, first, last)};
}

inline StepTotals case_totals() {
  return {4, 13, 8};
}

inline mx::array gradient(
    PolicyLossInputs in, const PolicyLossConfig& config, const StepTotals& totals) {
  auto loss_of = [&](const std::vector<mx::array>& p) {
    in.logprobs = p[0];
    return policy_loss(in, config, totals).loss;
  };
  std::function<mx::array(const std::vector<mx::array>&)> fn = loss_of;
  return mx::value_and_grad(fn)({in.logprobs}).second[0];
}

}  // namespace pupil
