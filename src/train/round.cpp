#include "train/round.h"

#include <algorithm>

#include "algo/advantage.h"
#include "base/stopwatch.h"

namespace pupil {

namespace {

GroupRewards scores_of(const RolloutGroup& group, size_t function) {
  GroupRewards scores;
  for (const auto& r : group.rollouts) {
    bool there = r.reward && function < r.scores.size();
    scores.push_back(there ? r.scores[function].value : std::nullopt);
  }
  return scores;
}

bool teaches(const RolloutGroup& group, const Stages& stages, bool by_function) {
  if (!by_function) return has_spread(rewards_of(group));
  for (size_t k = 0; k < stages.reward_names.size(); ++k) {
    if (has_spread(scores_of(group, k))) return true;
  }
  return false;
}

void count_passes(const RolloutGroup& group, const Stages& stages, DrawState& state) {
  const auto& names = stages.reward_names;
  size_t tests = std::find(names.begin(), names.end(), "tests") - names.begin();
  auto values = tests < names.size() ? scores_of(group, tests) : rewards_of(group);
  auto& record = state.records[group.task.id];
  ++record.draws;
  for (const auto& value : values) {
    if (value) record.add(std::clamp(*value, 0.0, 1.0));
  }
}

// Draws `count` prompts, and has them answered and scored.
std::vector<RolloutGroup> fresh_groups(
    const Stages& stages,
    const RoundPlan& plan,
    size_t count,
    DrawState& state,
    PhaseSeconds& seconds) {
  Stopwatch watch;
  auto groups = stages.draw(state.drawn, count, state.records);
  state.drawn += count;
  sample_with_progress(stages, groups, plan.sampling, plan.on_progress);
  seconds.generate += watch.lap();
  score_with_progress(stages, groups, plan.sampling, plan.on_progress);
  seconds.score += watch.lap();
  for (const auto& group : groups) count_passes(group, stages, state);
  return groups;
}

}  // namespace

Round sample_round(const Stages& stages, const RoundPlan& plan, DrawState& state) {
  Round round;
  if (stages.take_metrics) stages.take_metrics();  // an evaluation's
  round.groups = fresh_groups(stages, plan, plan.num_prompts, state, round.seconds);
  for (int refill = 0; refill < plan.dynamic_sampling; ++refill) {
    std::vector<size_t> dead;
    for (size_t g = 0; g < round.groups.size(); ++g) {
      if (!teaches(round.groups[g], stages, plan.by_function)) dead.push_back(g);
    }
    if (dead.empty()) break;
    auto fresh = fresh_groups(stages, plan, dead.size(), state, round.seconds);
    for (size_t i = 0; i < dead.size(); ++i) {
      std::swap(round.groups[dead[i]], fresh[i]);
      round.replaced.push_back(std::move(fresh[i]));
    }
  }
  if (stages.take_metrics) round.more = stages.take_metrics();
  return round;
}

}  // namespace pupil
