#include "reward/reward.h"

#include <cmath>
#include <future>
#include <stdexcept>

#include "base/random.h"

namespace pupil {

namespace {

constexpr uint64_t kShareStream = 0x7368617265;  // its numbers are nobody else's

// The rollouts that a function scores, and what it sees of them.
struct Work {
  std::vector<Rollout*> rollouts;
  std::vector<Sample> samples;
};

bool is_missing(const Rollout& rollout) {
  const auto& completion = rollout.completion;
  const bool is_there = completion.is_text_only || !completion.tokens.empty();
  return !rollout.missing.empty() || !is_there;
}

Work collect(std::span<RolloutGroup> groups, double share) {
  Work work;
  for (auto& group : groups) {
    for (auto& rollout : group.rollouts) {
      if (is_missing(rollout) || !is_looked_at(group, share)) continue;
      work.rollouts.push_back(&rollout);
      work.samples.push_back({&group.task, &rollout.completion});
    }
  }
  return work;
}

void clear(std::span<RolloutGroup> groups, size_t num_functions) {
  for (auto& group : groups) {
    for (auto& rollout : group.rollouts) {
      auto why = !is_missing(rollout)      ? "not looked at"
                 : rollout.missing.empty() ? "there is no answer"
                                           : rollout.missing;
      rollout.scores.assign(num_functions, {std::nullopt, why});
      rollout.reward.reset();
    }
  }
}

std::vector<Score> scores_of(
    const RewardFunction& function, const std::vector<Sample>& samples) {
  auto scores = function.score(samples);
  auto fail = [&](const std::string& what) {
    throw std::logic_error("[reward] the reward " + function.name + " gave " + what);
  };
  if (scores.size() != samples.size()) {
    fail(
        std::to_string(scores.size()) + " scores, expected " +
        std::to_string(samples.size()));
  }
  for (const auto& [value, reason] : scores) {
    if (!value || std::isfinite(*value)) continue;
    fail("the score " + std::to_string(*value) + ", expected a finite number");
  }
  return scores;
}

bool scored_anyone(const RolloutGroup& group, size_t k) {
  for (const auto& rollout : group.rollouts) {
    if (rollout.scores[k].value) return true;
  }
  return false;
}

void set_rewards(RolloutGroup& group, std::span<const RewardFunction> functions) {
  std::vector<size_t> counting;
  for (size_t k = 0; k < functions.size(); ++k) {
    if (functions[k].weight != 0 && scored_anyone(group, k)) counting.push_back(k);
  }
  for (auto& rollout : group.rollouts) {
    double sum = 0;
    bool whole = !counting.empty();
    for (size_t k : counting) {
      const auto& score = rollout.scores[k].value;
      whole = whole && score;
      sum += functions[k].weight * score.value_or(0);
    }
    if (whole) rollout.reward = sum;
  }
}

}  // namespace

bool is_looked_at(const RolloutGroup& group, double share) {
  return share >= 1 || keyed_uniform({kShareStream, group.prompt.key}) < share;
}

void score_groups(
    std::span<const RewardFunction> functions,
    std::span<RolloutGroup> groups,
    const std::function<void(int64_t scores)>& on_scored) {
  clear(groups, functions.size());
  std::vector<Work> works;
  for (const auto& function : functions)
    works.push_back(collect(groups, function.share));
  std::vector<std::future<std::vector<Score>>> running;
  for (size_t k = 0; k < functions.size(); ++k) {
    running.push_back(std::async(std::launch::async, [&, k] {
      return scores_of(functions[k], works[k].samples);
    }));
  }
  for (size_t k = 0; k < functions.size(); ++k) {
    auto scores = running[k].get();
    for (size_t i = 0; i < scores.size(); ++i) {
      works[k].rollouts[i]->scores[k] = std::move(scores[i]);
    }
    if (on_scored) on_scored(static_cast<int64_t>(scores.size()));
  }
  for (auto& group : groups) set_rewards(group, functions);
}

}  // namespace pupil
