#include "reward/reward.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace pupil {

namespace {

// Scores by the text: a digit is tenths, anything else unscored.
RewardFn by_digit(size_t at) {
  return [at](std::span<const Sample> samples) {
    std::vector<Score> scores;
    for (const auto& sample : samples) {
      char c = sample.completion->text.at(at);
      bool digit = c >= '0' && c <= '9';
      scores.push_back(
          {digit ? std::optional((c - '0') / 10.0) : std::nullopt,
           digit ? "" : "broken"});
    }
    return scores;
  };
}

RolloutGroup group_of(std::vector<std::string> texts) {
  RolloutGroup group;
  for (auto& text : texts) {
    Rollout rollout;
    rollout.completion.tokens = {1};
    rollout.completion.text = text;
    group.rollouts.push_back(rollout);
  }
  return group;
}

std::vector<RewardFunction> two_functions() {
  return {{"first", 1.0, by_digit(0)}, {"second", 0.5, by_digit(1)}};
}

}  // namespace

TEST(Reward, IsTheWeightedSum) {
  std::vector<RolloutGroup> groups = {group_of({"24", "80"}), group_of({"19"})};
  score_groups(two_functions(), groups);
  EXPECT_DOUBLE_EQ(*groups[0].rollouts[0].reward, 0.2 + 0.5 * 0.4);
  EXPECT_DOUBLE_EQ(*groups[0].rollouts[1].reward, 0.8);
  EXPECT_DOUBLE_EQ(*groups[1].rollouts[0].reward, 0.1 + 0.5 * 0.9);
  EXPECT_DOUBLE_EQ(*groups[1].rollouts[0].scores[1].value, 0.9);
}

TEST(Reward, AFunctionThatScoresNobodyInAGroupDoesNotCount) {
  std::vector<RolloutGroup> groups = {group_of({"2x", "8x"})};
  score_groups(two_functions(), groups);
  EXPECT_DOUBLE_EQ(*groups[0].rollouts[0].reward, 0.2);
  EXPECT_EQ(groups[0].rollouts[0].scores[1].reason, "broken");
}

TEST(Reward, AFunctionOfWeightZeroIsOnlyShown) {
  std::vector<RolloutGroup> groups = {group_of({"2x", "84"})};
  auto functions = two_functions();
  functions[1].weight = 0;
  score_groups(functions, groups);
  EXPECT_DOUBLE_EQ(*groups[0].rollouts[0].reward, 0.2);
  EXPECT_DOUBLE_EQ(*groups[0].rollouts[1].reward, 0.8);
  EXPECT_DOUBLE_EQ(*groups[0].rollouts[1].scores[1].value, 0.4);
}

TEST(Reward, AnyFiniteScoreCounts) {
  std::vector<RolloutGroup> groups = {group_of({"24", "80"})};
  auto functions = two_functions();
  functions[1].score = [](std::span<const Sample> samples) {
    return std::vector<Score>(samples.size(), {-40.0, ""});
  };
  score_groups(functions, groups);
  EXPECT_DOUBLE_EQ(*groups[0].rollouts[0].reward, 0.2 - 20);
}

TEST(Reward, TextWithoutKnownTokensIsAnAnswer) {
  std::vector<RolloutGroup> groups = {group_of({"24"})};
  groups[0].rollouts[0].completion.tokens.clear();
  groups[0].rollouts[0].completion.is_text_only = true;
  score_groups(two_functions(), groups);
  EXPECT_TRUE(groups[0].rollouts[0].reward);
}

TEST(Reward, AMissingScoreIsNoZero) {
  std::vector<RolloutGroup> groups = {group_of({"2x", "84"}), group_of({"xx", "xx"})};
  score_groups(two_functions(), groups);
  EXPECT_FALSE(groups[0].rollouts[0].reward);
  EXPECT_TRUE(groups[0].rollouts[1].reward);
  EXPECT_FALSE(groups[1].rollouts[0].reward);
}

TEST(Reward, NoAnswerIsUnscored) {
  std::vector<RolloutGroup> groups = {group_of({"24", "80"})};
  groups[0].rollouts[0].completion = {};
  score_groups(two_functions(), groups);
  EXPECT_FALSE(groups[0].rollouts[0].reward);
  EXPECT_TRUE(groups[0].rollouts[1].reward);
}

TEST(Reward, AMissingAnswerIsShownToNobodyAndKeepsItsReason) {
  std::vector<RolloutGroup> groups = {group_of({"24", "80"})};
  groups[0].rollouts[0].missing = "teacher: HTTP 500";
  auto functions = two_functions();
  size_t shown = 0;
  functions[0].score = [&](std::span<const Sample> samples) {
    shown += samples.size();
    return by_digit(0)(samples);
  };
  score_groups(functions, groups);
  EXPECT_EQ(shown, 1u);
  const auto& missing = groups[0].rollouts[0];
  EXPECT_FALSE(missing.reward);
  for (const auto& score : missing.scores) {
    EXPECT_FALSE(score.value);
    EXPECT_EQ(score.reason, "teacher: HTTP 500");
  }
  EXPECT_DOUBLE_EQ(*groups[0].rollouts[1].reward, 0.8);
}

TEST(Reward, AFunctionThatThrowsStopsTheRun) {
  std::vector<RolloutGroup> groups = {group_of({"24"})};
  auto functions = two_functions();
  functions[1].score = [](std::span<const Sample>) -> std::vector<Score> {
    throw std::runtime_error("no key");
  };
  EXPECT_THROW(score_groups(functions, groups), std::runtime_error);
  functions[1].score = [](std::span<const Sample>) { return std::vector<Score>(); };
  EXPECT_THROW(score_groups(functions, groups), std::logic_error);
}

TEST(Reward, WeightZeroIsLookedAtAndChangesNothing) {
  std::vector<RolloutGroup> with = {group_of({"24", "8x", "xx"})}, without = with;
  std::vector<RewardFunction> functions = {{"first", 1.0, by_digit(0)}};
  score_groups(functions, without);
  functions.push_back({"second", 0.0, by_digit(1)});
  score_groups(functions, with);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(with[0].rollouts[i].reward, without[0].rollouts[i].reward);
  EXPECT_DOUBLE_EQ(*with[0].rollouts[0].scores[1].value, 0.4);
  EXPECT_EQ(with[0].rollouts[1].scores[1].reason, "broken");
}

TEST(Reward, AShareOfTheGroupsFollowsFromTheirKeys) {
  std::vector<RolloutGroup> groups(400, group_of({"24", "80"}));
  for (size_t i = 0; i < groups.size(); ++i) groups[i].prompt.key = i;
  std::vector<RewardFunction> functions = {
      {"first", 1.0, by_digit(0)}, {"second", 0.0, by_digit(1), 0.25}};
  score_groups(functions, groups);
  std::vector<bool> looked_at;
  for (const auto& group : groups) {
    const auto& rollouts = group.rollouts;
    looked_at.push_back(rollouts[0].scores[1].value.has_value());
    EXPECT_EQ(rollouts[1].scores[1].value.has_value(), looked_at.back());
    EXPECT_TRUE(rollouts[0].scores[0].value);
    auto why = looked_at.back() ? "" : "not looked at";
    EXPECT_EQ(rollouts[0].scores[1].reason, why);
  }
  EXPECT_NEAR(std::count(looked_at.begin(), looked_at.end(), true), 100, 30);
  // One group alone, as a resumed run may meet it, is looked at just the same.
  for (size_t i = 0; i < 40; ++i) {
    score_groups(functions, std::span(groups).subspan(i, 1));
    EXPECT_EQ(groups[i].rollouts[0].scores[1].value.has_value(), looked_at[i]);
  }
}

}  // namespace pupil
