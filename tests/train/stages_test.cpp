// What happens around the stages of a step.

#include "train/stages.h"

#include <gtest/gtest.h>

namespace pupil::testing {
namespace {

TEST(Stages, ScoringBeginsWithEachCompletionThatEnds) {
  Stages stages;
  stages.generate = [](std::span<RolloutGroup> groups, int n, const auto& events) {
    for (int row = n - 1; row >= 0; --row) {
      for (size_t g = 0; g < groups.size(); ++g) {
        Completion completion;
        completion.text = std::to_string(row);
        events.on_sampled(1, 0);
        if (events.on_completed) events.on_completed(g, completion);
      }
    }
  };
  std::vector<RolloutGroup> groups(2);
  groups[0].task.id = "a";
  groups[1].task.id = "b";
  SamplingPlan plan{3, 1};
  sample_with_progress(stages, groups, plan);  // nobody wants to know

  std::vector<std::string> begun;
  stages.begin_score = [&](const RolloutGroup& group, const Completion& completion) {
    begun.push_back(group.task.id + completion.text);
  };
  sample_with_progress(stages, groups, plan);
  EXPECT_EQ(begun, (std::vector<std::string>{"a2", "b2", "a1", "b1", "a0", "b0"}));
}

}  // namespace
}  // namespace pupil::testing
