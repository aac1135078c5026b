#include "train/self_check.h"

#include <cmath>
#include <stdexcept>

namespace pupil {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error("[self-check] " + what);
}

// Why these two completions cannot be trained on; empty: they can.
std::string trouble_of(const RolloutGroup& group) {
  for (const auto& rollout : group.rollouts) {
    if (!rollout.missing.empty()) return rollout.missing;
    if (rollout.completion.tokens.empty()) return "an answer has no tokens";
  }
  return "";
}

// Two completions of a prompt; a teacher that writes them may leave some out.
RolloutGroup two_completions(const Stages& stages) {
  std::string trouble = "there is no task";
  for (auto& group : stages.draw(0, 4, {})) {
    stages.generate({&group, 1}, 2, {});
    trouble = trouble_of(group);
    if (trouble.empty()) return std::move(group);
  }
  fail("none of the first four tasks has two answers: " + trouble);
}

// The same, one good and one bad.
std::vector<RolloutGroup> sample_pair(const Stages& stages) {
  std::vector<RolloutGroup> groups = {two_completions(stages)};
  auto& rollouts = groups[0].rollouts;
  for (size_t i = 0; i < rollouts.size(); ++i) {
    rollouts[i].reward = static_cast<double>(i);
    rollouts[i].advantage = i == 0 ? -1.0 : 1.0;
  }
  // The same answer twice would cancel out.
  if (rollouts[0].completion.tokens == rollouts[1].completion.tokens) {
    rollouts[0].advantage = 0.0;
  }
  return groups;
}

struct Gradient {
  float norm = 0;
  PolicyMetrics metrics;
};

// A loss scale that is too high for this model is lowered here, and not by steps lost.
Gradient gradient_of(
    Learner& learner,
    const std::vector<RolloutGroup>& groups,
    const SelfCheckConfig& config) {
  auto totals = totals_of(groups, config.batch);
  while (true) {
    Gradient gradient;
    for (auto& batch : pack(groups, config.batch)) {
      gradient.metrics += learner.forward_backward(batch, totals).metrics;
    }
    gradient.norm = learner.gradient_norm();
    learner.clear_gradient();
    if (std::isfinite(gradient.norm) || !learner.lower_loss_scale()) return gradient;
  }
}

void check_gradient(
    Learner& learner,
    const std::vector<RolloutGroup>& groups,
    const SelfCheckConfig& config) {
  auto [norm, metrics] = gradient_of(learner, groups, config);
  if (!(metrics.mean_logp_difference() <= config.max_logp_difference)) {
    fail(
        "the trainer's log-probabilities differ from the sampler's by " +
        std::to_string(metrics.mean_logp_difference()) + " nats a token");
  }
  if (!(norm > 0) || !std::isfinite(norm)) {
    fail("the gradient's norm is " + std::to_string(norm));
  }
}

float sum_of_logprobs(
    const Decoder& model, const RolloutGroup& group, const SelfCheckConfig& config) {
  auto batch = pack(std::vector<RolloutGroup>{group}, config.batch).at(0);
  return mx::sum(completion_logprobs(model, batch, config.temperature).logprobs)
      .item<float>();
}

void check_prompt_matters(
    const Decoder& model, RolloutGroup group, const SelfCheckConfig& config) {
  float before = sum_of_logprobs(model, group, config);
  for (int& token : group.prompt.tokens) token = token == 0 ? 1 : token - 1;
  if (sum_of_logprobs(model, group, config) == before) {
    fail("the loss does not depend on the prompt");
  }
}

void check_end_counts(
    const Decoder& model, RolloutGroup group, const SelfCheckConfig& config) {
  if (config.eos_id < 0) return;
  group.rollouts[0].completion.tokens = {config.eos_id};
  group.rollouts[0].completion.logprobs.clear();
  group.rollouts[0].completion.finish = FinishReason::stop;
  group.rollouts.resize(2);
  group.rollouts[1].completion.tokens.push_back(config.eos_id);  // longer: comes first
  auto batch = pack(std::vector<RolloutGroup>{group}, config.batch).back();
  int last = batch.completions.shape(0) - 1;
  auto logprobs = completion_logprobs(model, batch, config.temperature).logprobs;
  float value = mx::slice(logprobs, {last, 0}, {last + 1, 1}).item<float>();
  float mask = mx::slice(batch.mask, {last, 0}, {last + 1, 1}).item<float>();
  if (mask != 1.0f || !(value < 0)) fail("the end-of-sequence id is not in the loss");
}

}  // namespace

void self_check(
    const Decoder& model,
    Learner& learner,
    const Stages& stages,
    const SelfCheckConfig& config) {
  auto unmasked = config;
  unmasked.batch.mask_truncated_completions = false;
  auto groups = sample_pair(stages);
  check_gradient(learner, groups, unmasked);
  check_prompt_matters(model, groups[0], unmasked);
  check_end_counts(model, groups[0], unmasked);
}

}  // namespace pupil
