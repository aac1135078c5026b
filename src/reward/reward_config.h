#pragma once

#include <string>
#include <vector>

#include "base/fields.h"

namespace pupil {

/// One row of `reward.functions`.
struct RewardFunctionConfig {
  std::string name;
  double weight = 1.0;
  double share = 1.0;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("name", self.name, "the reward function", Choices{"tests|format|rubric|teacher"});
    f("weight", self.weight, "its weight in the sum; 0: only looked at");
    f("share",
      self.share,
      "share of the groups that it scores; below 1 with weight 0 only",
      kUnit);
  }
};

struct RewardConfig {
  std::vector<RewardFunctionConfig> functions = {
      {"tests", 1.0}, {"format", 0.2}, {"rubric", 0.2}};

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("functions", self.functions, "what scores a completion, and with which weight");
  }
};

}  // namespace pupil
