// What is said at the end of a run about reward functions that were only looked at.

#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "reward/reward.h"

namespace pupil {

/// Adds up the rows of metrics.jsonl for the functions of weight 0.
class JudgeReport {
 public:
  explicit JudgeReport(const std::vector<RewardFunction>& functions);

  /// A row of a training step; a round of samples counts once.
  void add(const nlohmann::ordered_json& row);

  /// One line for each function of weight 0 that scored something: its mean, and with
  /// which share of the pairs of answers it agrees with each other function.
  std::vector<std::string> lines() const;

 private:
  struct Other {
    std::string name;
    double same = 0, pairs = 0;
  };
  struct Watched {
    std::string name;
    double mean_sum = 0, rounds = 0, probe_sum = 0, probes = 0;
    std::vector<Other> others;
  };
  std::vector<Watched> watched_;
};

}  // namespace pupil
