// What is trained: DoRA, dropout, whole weights, and the moving average, as the learner
// and a run see them.

#include <gtest/gtest.h>

#include "models/adapters.h"
#include "support/temp_dir.h"
#include "train/groups.h"
#include "train/toy_rows.h"

namespace pupil {

namespace {

using testing::TempDir;
using testing::toy_config;
using testing::ToyRun;

bool same(const mx::array& a, const mx::array& b) {
  return mx::array_equal(a, b).item<bool>();
}

// A run of another kind of adapter.
std::unique_ptr<ToyRun> run_of(
    const LoraConfig& lora,
    const TrainConfig& train,
    const std::function<void(LearnerConfig&)>& change = {}) {
  auto run = std::make_unique<ToyRun>(train);
  run->model = testing::tiny_decoder();
  attach_lora(run->model, lora, 1);
  LearnerConfig learning;
  learning.loss = policy_loss_config(run->config.train);
  learning.optimizer = optimizer_config(run->config.train);
  learning.ema_decay = train.ema_decay;
  learning.dropout_seed = 7;
  if (change) change(learning);
  run->learner.emplace(run->model, learning);
  return run;
}

const LoraConfig kDora{.fine_tune_type = "dora", .rank = 4};
const LoraConfig kFull{.fine_tune_type = "full", .keys = "all"};
const LoraConfig kDropout{.rank = 4, .dropout = 0.3};

float gradient_norm(Learner& learner, const std::vector<RolloutGroup>& groups) {
  for (auto& batch : pack(groups, {}))
    learner.forward_backward(batch, totals_of(groups, {}));
  float norm = learner.gradient_norm();
  learner.clear_gradient();
  return norm;
}

std::vector<RolloutGroup> some_groups() {
  std::mt19937 random(5);
  std::vector<RolloutGroup> groups = {testing::random_group(random, 4)};
  testing::set_advantages(groups, ScaleRewards::group);
  for (auto& rollout : groups[0].rollouts) rollout.source = Source::teacher;
  return groups;
}

}  // namespace

TEST(LoraKinds, EveryKindLearnsAndResumesToTheBit) {
  for (const auto& lora : {kDora, kFull, kDropout}) {
    TempDir whole_dir, cut_dir;
    auto config = toy_config(6);
    config.beta = 0.02;
    config.max_logp_difference = 1;  // dropout's
    config.ema_decay = 0.9;
    if (lora.fine_tune_type == "full") config.learning_rate = 1e-3;
    auto whole = run_of(lora, config), cut = run_of(lora, config),
         resumed = run_of(lora, config);
    auto start = whole->learner->params();
    testing::expect_resume_is_exact(
        *whole, whole_dir.path(), *cut, *resumed, cut_dir.path(), 3);
    auto rows = testing::timeless(testing::rows_of(whole_dir.path() / "metrics.jsonl"));
    EXPECT_EQ(
        rows, testing::timeless(testing::rows_of(cut_dir.path() / "metrics.jsonl")));
    EXPECT_GT(rows[5]["kl"].get<double>(), 0);
    EXPECT_FALSE(same(start[0], whole->learner->params()[0]));
    if (lora.dropout == 0) {  // the sampler has the trainer's weights and lengths
      EXPECT_LT(rows[5]["sampling/sampling_logp_difference/max"].get<double>(), 1e-4);
    }
  }
}

// The first row's KL is exactly the policy's own: a fresh DoRA and untouched weights.
TEST(LoraKinds, AFreshPolicyIsItsReference) {
  for (const auto& lora : {kDora, kFull}) {
    auto run = run_of(lora, toy_config(1));
    for (auto& batch : pack(some_groups(), {})) {
      auto policy = run->learner->logprobs(batch).logprobs;
      auto reference = run->learner->reference_logprobs(batch);
      EXPECT_LT(mx::max(mx::abs(policy - reference)).item<float>(), 1e-5f);
    }
    run->learner->sync_reference(0.5);  // half of the way to itself
    for (auto& batch : pack(some_groups(), {})) {
      auto policy = run->learner->logprobs(batch).logprobs;
      auto reference = run->learner->reference_logprobs(batch);
      EXPECT_LT(mx::max(mx::abs(policy - reference)).item<float>(), 1e-5f);
    }
  }
}

TEST(LoraKinds, DropoutFollowsFromSeedAndStep) {
  auto norm_of = [](uint64_t seed, int steps) {
    auto run = run_of(kDropout, toy_config(1));
    Learner learner(run->model, {.dropout_seed = seed});
    auto groups = some_groups();
    for (int step = 0; step < steps; ++step) {
      for (auto& batch : pack(groups, {}))
        learner.forward_backward(batch, totals_of(groups, {}));
      learner.optim_step(0);  // moves nothing
    }
    float norm = gradient_norm(learner, groups);
    EXPECT_EQ(norm, gradient_norm(learner, groups));  // nothing was stepped
    auto batch = pack(groups, {})[0];
    auto plain = learner.logprobs(batch).logprobs;
    EXPECT_TRUE(same(plain, learner.logprobs(batch).logprobs));
    return norm;
  };
  EXPECT_EQ(norm_of(1, 0), norm_of(1, 0));
  EXPECT_NE(norm_of(1, 0), norm_of(2, 0));
  EXPECT_NE(norm_of(1, 0), norm_of(1, 1));
}

TEST(LoraKinds, RecomputedBlocksChangeNoBit) {
  for (const auto& lora : {kDora, kFull, kDropout}) {
    auto gradient_of = [&](int64_t budget) {
      auto run = run_of(lora, toy_config(1), [&](LearnerConfig& learning) {
        learning.activation_budget = budget;
      });
      auto groups = some_groups();
      for (auto& batch : pack(groups, {}))
        run->learner->forward_backward(batch, totals_of(groups, {}));
      return run->learner->gradient();
    };
    auto kept = gradient_of(1 << 30), again = gradient_of(0);
    for (size_t i = 0; i < kept.size(); ++i) EXPECT_TRUE(same(kept[i], again[i])) << i;
  }
}

TEST(LoraKinds, OnlyTheChosenWeightsMove) {
  LoraConfig config{.fine_tune_type = "full", .num_layers = 1, .keys = "mlp.up_proj"};
  auto run = run_of(config, toy_config(2));
  auto before = run->model;
  TempDir dir;
  run->run(dir.path());
  std::vector<std::string> moved;
  for_each_leaf(run->model, "", [&](const std::string& path, const mx::array& now) {
    auto is_it = [&](std::string_view other) { return other == path; };
    if (!same(select_parameters(before, is_it)[0], now)) moved.push_back(path);
  });
  EXPECT_EQ(moved, std::vector<std::string>{"model.layers.1.mlp.up_proj.weight"});
}

// adapters/ has the average, the checkpoint what training goes on with.
TEST(LoraKinds, TheAverageIsWhatARunHandsOut) {
  TempDir dir;
  auto config = toy_config(3);
  config.ema_decay = 0.5;
  auto run = run_of({.rank = 4}, config);
  std::vector<mx::array> average = run->learner->params();
  run->hooks.on_metrics = [&](const nlohmann::ordered_json&) {
    const auto& params = run->learner->params();
    for (size_t i = 0; i < average.size(); ++i)
      average[i] = 0.5f * average[i] + 0.5f * params[i];
  };
  run->run(dir.path());
  auto out =
      mx::load_safetensors((dir.path() / "adapters/adapters.safetensors").string());
  auto checkpoint = mx::load_safetensors(
      (dir.path() / "checkpoints/step-000003/adapters.safetensors").string());
  const auto& learner = *run->learner;
  for (size_t i = 0; i < average.size(); ++i) {
    const auto& path = learner.paths()[i];
    EXPECT_TRUE(mx::allclose(out.first.at(path), average[i], 1e-5, 1e-7).item<bool>());
    EXPECT_TRUE(same(checkpoint.first.at(path), learner.params()[i]));
  }
  EXPECT_FALSE(same(learner.exported()[0], learner.params()[0]));
  run->learner->show_exported(true);
  EXPECT_TRUE(same(trained_arrays(run->model)[0], learner.exported()[0]));
  run->learner->show_exported(false);
  EXPECT_TRUE(same(trained_arrays(run->model)[0], learner.params()[0]));
}

}  // namespace pupil
