#include "train/agreement.h"

#include <gtest/gtest.h>

namespace pupil {
namespace {

using Scores =
    std::vector<std::vector<std::optional<double>>>;  // [rollouts][functions]

RolloutGroup group_of(const Scores& scores) {
  RolloutGroup group;
  for (const auto& row : scores) {
    auto& rollout = group.rollouts.emplace_back();
    for (auto value : row) rollout.scores.push_back({value, ""});
  }
  return group;
}

// Of tests that pass or fail it is the area under the ROC curve: the chance that a
// right answer is placed above a wrong one.
TEST(Agreement, IsTheAreaUnderTheCurveWithinGroups) {
  std::vector<RolloutGroup> groups = {
      group_of({{1, 0.9}, {1, 0.4}, {0, 0.4}, {0, 0.1}}),
      group_of({{1, 0.2}, {0, 0.8}})};
  auto sum = agreement_of(groups, 0, 1);
  // First group: .9 > .4, .9 > .1, .4 = .4, .4 > .1; second: .2 < .8. Nothing is
  // compared across groups.
  EXPECT_EQ(sum.pairs, 5);
  EXPECT_EQ(sum.same, 3.5);
}

TEST(Agreement, LeavesOutWhatSomebodyDidNotScoreOrTheFirstCannotTellApart) {
  std::vector<RolloutGroup> groups = {
      group_of({{1, 0.9}, {std::nullopt, 0.1}, {0, std::nullopt}, {1, 0.3}})};
  EXPECT_EQ(agreement_of(groups, 0, 1).pairs, 0);
  EXPECT_EQ(agreement_of(groups, 0, 7).pairs, 0);  // no such scores yet
}

TEST(Agreement, TestsStandFirstInTheRow) {
  std::vector<RolloutGroup> groups = {group_of({{0.5, 1, 1}, {0.1, 0, 1}})};
  nlohmann::ordered_json row;
  add_agreements(row, groups, {"rubric", "tests", "teacher"});
  EXPECT_EQ(row["agreement/tests/rubric"], 1.0);
  EXPECT_EQ(row["agreement/tests/teacher"], 0.5);
  EXPECT_EQ(row["agreement/rubric/teacher"], 0.5);
  EXPECT_EQ(row["agreement/tests/rubric/pairs"], 1);
  EXPECT_EQ(row.size(), 6u);
  nlohmann::ordered_json none;
  add_agreements(none, {}, {"tests", "teacher"});
  EXPECT_TRUE(none["agreement/tests/teacher"].is_null());
}

}  // namespace
}  // namespace pupil
