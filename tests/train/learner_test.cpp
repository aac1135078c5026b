#include "train/learner.h"

#include <gtest/gtest.h>
#include <cmath>

#include "models/lora.h"
#include "support/tiny_model.h"
#include "train/groups.h"
#include "train/loss_settings.h"
#include "train/token_plan.h"

namespace pupil {

namespace {

using testing::random_group;
using testing::set_advantages;

// The tiny model with an adapter that does something.
Decoder model_with_adapter() {
  auto model = testing::tiny_decoder();
  attach_lora(model, {.rank = 4, .scale = 2.0f}, 1);
  uint64_t seed = 0;
  for_each_linear(model, [&](const std::string&, Linear& linear) {
    auto key = mx::random::key(++seed);
    linear.lora->b =
        mx::random::normal(linear.lora->b.shape(), mx::float32, 0.0f, 0.05f, key);
  });
  return model;
}

std::vector<RolloutGroup> some_groups(int unscored = 0, uint32_t seed = 5) {
  std::mt19937 random(seed);
  std::vector<RolloutGroup> groups = {
      random_group(random, 6, unscored), random_group(random, 6, unscored)};
  set_advantages(groups, ScaleRewards::group);
  return groups;
}

struct Outcome {
  double loss = 0;
  float norm = 0;
  PolicyMetrics metrics;
  std::vector<mx::array> params;
};

// One optimizer step of a fresh model on `groups`.
Outcome step_on(
    const std::vector<RolloutGroup>& groups,
    int max_tokens,
    const PolicyLossConfig& loss = {},
    int64_t activation_budget = std::numeric_limits<int64_t>::max()) {
  auto model = model_with_adapter();
  Learner learner(model, {.loss = loss, .activation_budget = activation_budget});
  BatchConfig config{.max_tokens = max_tokens, .max_completion_length = 9};
  auto totals = totals_of(groups, config);
  Outcome outcome;
  for (auto& batch : pack(groups, config)) {
    auto result = learner.forward_backward(batch, totals);
    outcome.loss += result.loss;
    outcome.metrics += result.metrics;
  }
  outcome.norm = learner.optim_step(1e-3);
  outcome.params = learner.params();
  return outcome;
}

void expect_near(const Outcome& a, const Outcome& b, double tolerance) {
  EXPECT_NEAR(a.loss, b.loss, tolerance);
  EXPECT_NEAR(a.norm, b.norm, tolerance * 10);
  EXPECT_EQ(a.metrics.num_tokens, b.metrics.num_tokens);
  EXPECT_NEAR(a.metrics.entropy, b.metrics.entropy, 1e-3);
}

}  // namespace

TEST(Learner, MicrobatchesEqualOneBatch) {
  for (auto aggregate :
       {Aggregate::sequence_mean, Aggregate::token_mean, Aggregate::constant}) {
    PolicyLossConfig loss{.aggregate = aggregate, .beta = 0.1f};
    auto groups = some_groups();
    auto one = step_on(groups, 4096, loss), many = step_on(groups, 16, loss);
    EXPECT_GT(one.norm, 1e-3f);
    expect_near(one, many, 1e-5);
  }
}

TEST(Learner, RecomputedBlocksChangeNoBit) {
  auto groups = some_groups();
  PolicyLossConfig loss{.beta = 0.1f};
  auto kept = step_on(groups, 4096, loss), recomputed = step_on(groups, 4096, loss, 0);
  EXPECT_EQ(kept.loss, recomputed.loss);
  EXPECT_EQ(kept.norm, recomputed.norm);
  for (size_t i = 0; i < kept.params.size(); ++i)
    EXPECT_TRUE(mx::array_equal(kept.params[i], recomputed.params[i]).item<bool>());
}

TEST(Learner, PlannedTokensDoNotDependOnTheSplit) {
  for (const char* type : {"clip_cov", "kl_cov", "grpo"}) {
    PolicyLossConfig loss;
    loss.surrogate = loss_type_of(type).surrogate;
    loss.aggregate = Aggregate::token_mean;
    loss.top_entropy_quantile = 0.4;
    loss.entropy_coef = 0.1;
    auto groups = some_groups();
    auto run = [&](int max_tokens) {
      auto model = model_with_adapter();
      Learner learner(model, {.loss = loss});
      BatchConfig config{.max_tokens = max_tokens, .max_completion_length = 9};
      auto batches = pack(groups, config);
      CovarianceChoice choice{.share = 0.2, .low = 0.01};
      auto plan = plan_tokens(learner, batches, totals_of(groups, config), choice, 1);
      double sum = 0;
      for (auto& batch : batches)
        sum += learner.forward_backward(batch, plan.totals).loss;
      return std::pair(sum, learner.gradient_norm());
    };
    auto [one, norm] = run(4096);
    auto [many, same_norm] = run(16);
    EXPECT_NEAR(one, many, 1e-5) << type;
    EXPECT_NEAR(norm, same_norm, 1e-4) << type;
  }
}

// The bonus alone, along its own gradient: the entropy's slope is the gradient's norm.
TEST(Learner, TheEntropyBonusHasAGradient) {
  auto groups = some_groups();
  for (auto& group : groups) {
    for (auto& rollout : group.rollouts) rollout.advantage = 0;
  }
  PolicyLossConfig loss;
  loss.entropy_coef = 1;
  auto model = model_with_adapter();
  Learner learner(model, {.loss = loss, .max_grad_norm = 0});
  auto totals = totals_of(groups, {});
  BatchConfig all;
  all.all_groups = true;  // these have no advantage
  auto entropy = [&] {
    double sum = 0;
    for (auto& batch : pack(groups, all)) {
      sum += learner.forward_backward(batch, totals).loss;
    }
    return -sum;
  };
  double before = entropy();
  float norm = learner.gradient_norm();
  EXPECT_GT(norm, 1e-3f);
  learner.optim_step(1e-3);
  double after = entropy();
  EXPECT_GT(after, before);
}

TEST(Learner, UnscoredRolloutsChangeNoBitOfTheUpdate) {
  for (uint32_t seed : {5u, 6u, 7u}) {
    auto groups = some_groups(1, seed);
    auto with = step_on(groups, 40),
         without = step_on(testing::scored_only(groups), 40);
    EXPECT_EQ(with.loss, without.loss);
    EXPECT_EQ(with.norm, without.norm);
    for (size_t i = 0; i < with.params.size(); ++i) {
      EXPECT_TRUE(mx::array_equal(with.params[i], without.params[i]).item<bool>());
    }
  }
}

// Of the whole chain: adapters, decoder, head and loss, along the gradient itself.
TEST(Learner, GradientEqualsFiniteDifferences) {
  auto groups = some_groups();
  auto model = model_with_adapter();
  LearnerConfig config{.reuse_samples = true, .max_grad_norm = 0};
  config.loss.epsilon = config.loss.epsilon_high = 10.0f;  // nothing is clipped
  Learner learner(model, config);
  auto totals = totals_of(groups, {});
  auto batches = pack(groups, {});
  for (auto& batch : batches) learner.forward_backward(batch, totals);
  float norm = learner.gradient_norm();

  // Along the unit vector of the gradient the slope is the gradient's norm.
  constexpr float kStep = 2e-2f;
  auto grads = learner.gradient();
  auto start = select_parameters(model, is_lora);
  auto loss_at = [&](float by) {
    auto moved = start;
    for (size_t i = 0; i < moved.size(); ++i)
      moved[i] = start[i] + (by / norm) * grads[i];
    auto at = model;
    assign_parameters(at, moved, is_lora);
    Learner other(at, config);
    double loss = 0;
    for (auto batch : batches) loss += other.forward_backward(batch, totals).loss;
    return loss;
  };
  double slope = (loss_at(kStep) - loss_at(-kStep)) / (2 * kStep);
  EXPECT_NEAR(slope, norm, 2e-3 * norm);
}

TEST(Learner, SampledTokensHaveTheSamplersLogprobs) {
  auto model = model_with_adapter();
  auto groups = some_groups();
  auto batch = pack(groups, {})[0];
  auto logprobs = completion_logprobs(model, batch, 0.7f).logprobs;
  batch.sampler_logprobs = logprobs;
  Learner learner(model, {.temperature = 0.7f});
  auto result = learner.forward_backward(batch, totals_of(groups, {}));
  EXPECT_LT(result.metrics.logp_difference_max, 1e-6);
  EXPECT_EQ(result.metrics.num_sampled, result.metrics.num_tokens);
}

// A sampler that gives every token half the trainer's probability: weights of 2.
TEST(Learner, TheSamplersProbabilitiesAreCorrectedFor) {
  auto norm_with = [](std::optional<SamplerCorrection> correction, double* mean) {
    auto groups = some_groups();
    auto model = model_with_adapter();
    auto batch = pack(groups, {})[0];
    batch.sampler_logprobs =
        completion_logprobs(model, batch, 1.0f).logprobs - std::log(2.0f);
    Learner learner(model, {.correction = correction, .max_grad_norm = 0});
    auto metrics = learner.forward_backward(batch, totals_of(groups, {})).metrics;
    *mean = metrics.importance / metrics.num_importance;
    EXPECT_NEAR(metrics.mean_logp_difference(), std::log(2.0), 1e-5);
    return learner.gradient_norm();
  };
  double mean = 0;
  float plain = norm_with(std::nullopt, &mean);
  EXPECT_TRUE(std::isnan(mean));
  using enum CorrectionMode;
  EXPECT_NEAR(norm_with({{token_truncate, {}, 3.0}}, &mean), 2 * plain, 1e-4);
  EXPECT_NEAR(mean, 2, 1e-4);
  EXPECT_NEAR(norm_with({{token_truncate, {}, 1.5}}, &mean), 1.5 * plain, 1e-4);
  EXPECT_EQ(norm_with({{token_mask, {}, 1.5}}, &mean), 0);
  EXPECT_NEAR(norm_with({{token_mask, 1.5, {}}}, &mean), 2 * plain, 1e-4);
  EXPECT_EQ(norm_with({{sequence_mask, {}, 1.5}}, &mean), 0);
  EXPECT_EQ(mean, 0);
}

TEST(LossSettings, TheSamplerCorrectionComesFromTheConfig) {
  TrainConfig config;
  EXPECT_FALSE(sampler_correction(config));
  config.sampler_correction = "token_mask";
  config.sampler_clip_min = 0.5;
  EXPECT_EQ(sampler_correction(config)->mode, CorrectionMode::token_mask);
  EXPECT_EQ(sampler_correction(config)->least, 0.5);
  EXPECT_EQ(sampler_correction(config)->most, 3.0);
  config.sampler_clip_max = 0.4;
  EXPECT_THROW(resolve_method(config), std::invalid_argument);
}

TEST(Learner, TeacherWrittenSamplesAreWeightedLikelihood) {
  auto groups = some_groups();
  for (auto& r : groups[0].rollouts) r.completion.logprobs.clear();
  auto model = model_with_adapter();
  Learner learner(model, {.reuse_samples = true, .max_grad_norm = 0});
  auto totals = totals_of(groups, {});
  auto batch = pack(groups, {})[0];
  learner.forward_backward(batch, totals);
  learner.clear_gradient();
  // Old log-probabilities of another policy would change a sampled row's gradient.
  batch.old_logprobs = *batch.old_logprobs + 3.0f;
  auto result = learner.forward_backward(batch, totals);
  EXPECT_EQ(result.metrics.clipped_low + result.metrics.clipped_high, 0);
  EXPECT_EQ(result.metrics.num_sampled, 0);
  EXPECT_TRUE(std::isnan(result.logp_differences[0]));

  auto likelihood = [&](const std::vector<mx::array>& params) {
    auto at = model;
    assign_parameters(at, params, is_lora);
    auto logp = completion_logprobs(at, batch, 1.0f).logprobs;
    auto mean = mx::sum(logp, 1) / mx::sum(batch.mask, 1);
    return -mx::sum(batch.advantages * mean) / float(totals.num_sequences);
  };
  std::vector<int> argnums(learner.params().size());
  for (size_t i = 0; i < argnums.size(); ++i) argnums[i] = static_cast<int>(i);
  std::function<mx::array(const std::vector<mx::array>&)> fn = likelihood;
  auto expected = mx::value_and_grad(fn, argnums)(learner.params()).second;
  EXPECT_NEAR(learner.gradient_norm(), global_norm(expected), 1e-5);
}

TEST(Learner, LaterIterationsUseTheFirstOnesPolicy) {
  auto groups = some_groups();
  auto model = model_with_adapter();
  Learner learner(model, {.reuse_samples = true});
  auto totals = totals_of(groups, {});
  auto batches = pack(groups, {});
  for (auto& batch : batches) learner.forward_backward(batch, totals);
  learner.optim_step(0.05);
  PolicyMetrics metrics;
  for (auto& batch : batches)
    metrics += learner.forward_backward(batch, totals).metrics;
  EXPECT_GT(metrics.clipped_low + metrics.clipped_high, 0);
}

TEST(Learner, TheReferenceIsTheModelWithoutItsAdapter) {
  auto groups = some_groups();
  auto model = testing::tiny_decoder();
  attach_lora(model, {.rank = 4}, 1);
  PolicyLossConfig loss{.beta = 0.5f};
  Learner fresh(model, {.loss = loss});
  auto batch = pack(groups, {})[0];
  auto result = fresh.forward_backward(batch, totals_of(groups, {}));
  EXPECT_NEAR(result.metrics.kl, 0.0, 1e-5);  // a fresh adapter changes nothing

  auto moved = model_with_adapter();
  Learner learner(moved, {.loss = loss});
  batch = pack(groups, {})[0];
  EXPECT_GT(learner.forward_backward(batch, totals_of(groups, {})).metrics.kl, 1e-3);
}

TEST(Learner, ANumberOfTheGradientIsClippedBeforeItsNorm) {
  auto groups = some_groups();
  auto step = [&](double most) {
    auto model = model_with_adapter();
    Learner learner(model, {.max_grad_norm = 0, .max_grad_value = most});
    for (auto& batch : pack(groups, {})) {
      learner.forward_backward(batch, totals_of(groups, {}));
    }
    float before = learner.gradient_norm();
    EXPECT_EQ(learner.optim_step(1e-3), before);  // reported as it was
    double sum = 0;
    for (const auto& m : learner.optimizer().state().at("m"))
      sum += mx::sum(mx::square(m)).item<float>();
    return std::sqrt(sum);
  };
  EXPECT_LT(step(1e-3), 0.9 * step(0));
  EXPECT_EQ(step(1e9), step(0));
}

TEST(Learner, ABrokenNumberStopsBeforeTheWeightsChange) {
  auto groups = some_groups();
  groups[0].rollouts[0].advantage = NAN;
  auto model = model_with_adapter();
  Learner learner(model, {});
  auto before = learner.params();
  auto batch = pack(groups, {})[0];
  EXPECT_THROW(learner.forward_backward(batch, totals_of(groups, {})), NotFinite);
  groups = some_groups();
  auto good = pack(groups, {})[0];
  learner.forward_backward(good, totals_of(groups, {}));
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(mx::array_equal(before[i], learner.params()[i]).item<bool>());
  }
  EXPECT_EQ(learner.optimizer().step(), 0);
}

TEST(Learner, NeedsAnAdapter) {
  auto model = testing::tiny_decoder();
  EXPECT_THROW(Learner(model, {}), std::invalid_argument);
}

}  // namespace pupil
