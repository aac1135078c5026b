#include "train/token_plan.h"

#include <algorithm>

#include "ops/host_values.h"

namespace pupil {

namespace {

// The tokens of a step, microbatch after microbatch, in the order of their positions.
struct StepTokens {
  std::vector<float> logprobs, log_ratios, entropies, advantages;
};

void add_tokens(StepTokens& tokens, const Learner& learner, const Microbatch& batch) {
  auto values = learner.logprobs(batch);
  auto logprobs = host_values(values.logprobs), entropies = host_values(values.entropy);
  auto mask = host_values(batch.mask), advantages = host_values(batch.advantages);
  auto old = host_values(old_logprobs_of(batch, values.logprobs));
  size_t width = batch.mask.shape(1);
  for (size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] == 0) continue;
    tokens.logprobs.push_back(logprobs[i]);
    tokens.log_ratios.push_back(logprobs[i] - old[i]);
    tokens.entropies.push_back(entropies[i]);
    tokens.advantages.push_back(advantages[i / width]);
  }
}

// The microbatches' parts of `chosen`, which has the order of StepTokens.
void set_selected(std::span<Microbatch> batches, const std::vector<float>& chosen) {
  size_t next = 0;
  for (auto& batch : batches) {
    auto mask = host_values(batch.mask);
    for (float& value : mask) {
      if (value != 0) value = chosen.at(next++);
    }
    batch.selected = mx::array(mask.data(), batch.mask.shape(), mx::float32);
  }
}

void set_threshold(TokenPlan& plan, const StepTokens& tokens, double share) {
  auto threshold = quantile(tokens.entropies, 1 - share);
  if (!threshold) return;
  double count = 0, sum = 0;
  for (float entropy : tokens.entropies) {
    if (entropy >= *threshold) count += 1, sum += entropy;
  }
  plan.totals.entropy_threshold = threshold;
  plan.totals.num_entropy_tokens = count;
  plan.entropy = sum / std::max(count, 1.0);
}

}  // namespace

bool needs_token_plan(const PolicyLossConfig& loss) {
  return loss.top_entropy_quantile < 1 || loss.surrogate == Surrogate::clip_cov ||
         loss.surrogate == Surrogate::kl_cov;
}

TokenPlan plan_tokens(
    const Learner& learner,
    std::span<Microbatch> batches,
    const StepTotals& totals,
    const CovarianceChoice& choice,
    uint64_t seed) {
  StepTokens tokens;
  for (const auto& batch : batches) add_tokens(tokens, learner, batch);
  TokenPlan plan{totals, {}};
  const auto& loss = learner.loss();
  if (loss.top_entropy_quantile < 1) {
    set_threshold(plan, tokens, loss.top_entropy_quantile);
  }
  if (loss.surrogate == Surrogate::kl_cov) {
    set_selected(batches, choose_kl_cov(tokens.advantages, tokens.logprobs, choice));
  }
  if (loss.surrogate == Surrogate::clip_cov) {
    auto chosen = choose_clip_cov(
        tokens.advantages, tokens.logprobs, tokens.log_ratios, choice, seed);
    set_selected(batches, chosen);
  }
  return plan;
}

}  // namespace pupil
