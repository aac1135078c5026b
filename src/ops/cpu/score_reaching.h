// Selection by weight: an order statistic without a sort.

#pragma once

#include <span>

namespace pupil::cpu {

struct Weighted {
  float score;
  float weight;  // at least 0
};

/// The largest score of `items` such that the weights of all scores that are no smaller
/// sum to `goal` at least; the smallest score if even all of them do not. With weights
/// of 1 this is the goal-th largest score. Linear time: one histogram over all, then
/// one over the bucket that holds the answer, and so on. Sums are float64. `items` are
/// finite and not none; they are moved about.
float score_reaching(std::span<Weighted> items, double goal);

}  // namespace pupil::cpu
