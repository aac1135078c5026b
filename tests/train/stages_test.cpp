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
  stages.begin_score = [&](const RolloutGroup& group, auto finished, bool whole) {
    std::string line = group.task.id;
    for (const auto& completion : finished) line += completion.text;
    begun.push_back(line + (whole ? "." : ""));
  };
  sample_with_progress(stages, groups, plan);
  EXPECT_EQ(
      begun, (std::vector<std::string>{"a2", "b2", "a21", "b21", "a210.", "b210."}));
}

}  // namespace
}  // namespace pupil::testing
