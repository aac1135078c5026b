// Rewards that take their time, and rewards that break their promise.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>
#include <thread>

#include "base/parallel.h"
#include "reward/reward.h"

namespace pupil {
namespace {

/// What function `k` says of a text; about one in nine is unscored.
std::optional<double> verdict(size_t k, const std::string& text) {
  const uint64_t hash = std::hash<std::string>{}(std::to_string(k) + text);
  if (hash % 9 == 0) return std::nullopt;
  return static_cast<double>(hash % 1000) / 1000;
}

/// Scores on four threads, each sample after a time of its own.
RewardFn slow_reward(size_t k, uint32_t seed, std::atomic<int>& asked) {
  return [k, seed, &asked](std::span<const Sample> samples) {
    std::vector<Score> scores(samples.size());
    parallel_for(samples.size(), 4, [&](size_t i) {
      std::mt19937 random(seed + static_cast<uint32_t>(i * 7 + k));
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 300));
      scores[i].value = verdict(k, samples[i].completion->text);
      ++asked;
    });
    return scores;
  };
}

std::vector<RolloutGroup> random_groups(std::mt19937& random) {
  std::vector<RolloutGroup> groups(1 + random() % 4);
  for (auto& group : groups) {
    group.rollouts.resize(1 + random() % 8);
    for (auto& rollout : group.rollouts) {
      rollout.completion.text = std::to_string(random());
      if (random() % 10 != 0) rollout.completion.tokens = {1};
    }
  }
  return groups;
}

TEST(RewardOrder, ScoresStayWithTheirSamplesWhateverTheDelays) {
  std::mt19937 random(7);
  for (int round = 0; round < 100; ++round) {
    auto groups = random_groups(random);
    std::atomic<int> asked = 0;
    std::vector<RewardFunction> functions;
    for (size_t k = 0; k < 3; ++k) {
      functions.push_back({"slow", 1.0, slow_reward(k, random(), asked)});
    }
    score_groups(functions, groups);
    int answers = 0;
    for (const auto& group : groups) {
      for (const auto& rollout : group.rollouts) {
        const auto& completion = rollout.completion;
        answers += !completion.tokens.empty();
        for (size_t k = 0; k < 3; ++k) {
          const auto expected =
              completion.tokens.empty() ? std::nullopt : verdict(k, completion.text);
          EXPECT_EQ(rollout.scores[k].value, expected);
        }
      }
    }
    EXPECT_EQ(asked, 3 * answers);
  }
}

TEST(RewardOrder, AScoreThatIsNoFiniteNumberStopsTheRun) {
  for (const double bad :
       {std::nan(""),
        std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity()}) {
    std::vector<RolloutGroup> groups(1);
    groups[0].rollouts.resize(2);
    for (auto& rollout : groups[0].rollouts) rollout.completion.tokens = {1};
    const RewardFn score = [bad](std::span<const Sample>) {
      return std::vector<Score>{{0.5, ""}, {bad, ""}};
    };
    try {
      score_groups(std::vector<RewardFunction>{{"odd", 1.0, score}}, groups);
      FAIL() << "accepted " << bad;
    } catch (const std::logic_error& error) {
      const std::string text = error.what();
      EXPECT_TRUE(text.starts_with("[reward] the reward odd gave the score")) << text;
    }
  }
}

TEST(RewardOrder, OneThatThrowsWaitsForTheOthers) {
  std::atomic<bool> ended = false;
  const RewardFn slow = [&](std::span<const Sample> samples) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ended = true;
    return std::vector<Score>(samples.size());
  };
  const RewardFn broken = [](std::span<const Sample>) -> std::vector<Score> {
    throw std::runtime_error("broken");
  };
  std::vector<RolloutGroup> groups(1);
  groups[0].rollouts.resize(1);
  const std::vector<RewardFunction> functions = {
      {"broken", 1.0, broken}, {"slow", 1.0, slow}};
  EXPECT_THROW(score_groups(functions, groups), std::runtime_error);
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace pupil
