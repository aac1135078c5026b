#include "train/stages.h"

#include "base/progress.h"

namespace pupil {

void sample_with_progress(
    const Stages& stages,
    std::span<RolloutGroup> groups,
    const SamplingPlan& plan,
    const std::function<void()>& on_token) {
  auto rows = static_cast<int64_t>(groups.size()) * plan.num_generations;
  Progress progress(
      plan.label + "sampling", "tokens", rows * plan.max_completion_length);
  SamplingEvents events;
  events.on_sampled = [&](int64_t tokens, int64_t spared) {
    progress.skip(spared);
    progress.advance(tokens);
    if (on_token) on_token();
  };
  std::vector<std::vector<Completion>> finished(groups.size());
  if (stages.begin_score) {
    events.on_completed = [&](size_t group, const Completion& completion) {
      auto& of_group = finished[group];
      of_group.push_back(completion);
      bool whole = of_group.size() == static_cast<size_t>(plan.num_generations);
      stages.begin_score(groups[group], of_group, whole);
      if (whole) of_group.clear();
    };
  }
  stages.generate(groups, plan.num_generations, events);
}

void score_with_progress(
    const Stages& stages,
    std::span<RolloutGroup> groups,
    const SamplingPlan& plan,
    const std::function<void()>& on_score) {
  size_t scores = 0;
  for (const auto& group : groups) {
    scores += group.rollouts.size() * stages.reward_names.size();
  }
  Progress progress(plan.label + "scoring", "scores", static_cast<int64_t>(scores));
  stages.score(groups, [&](int64_t count) {
    progress.advance(count);
    if (on_score) on_score();
  });
}

}  // namespace pupil
