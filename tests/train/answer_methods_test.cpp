// Runs that learn from given answers, and from the best and the worst of the samples.

#include <gtest/gtest.h>

#include "support/temp_dir.h"
#include "train/toy_rows.h"

namespace pupil {

namespace {

using testing::kToyLength;
using testing::TempDir;
using testing::toy_config;
using testing::ToyRun;

std::vector<nlohmann::json> metrics_in(const TempDir& dir) {
  return testing::rows_of(dir.path() / "metrics.jsonl");
}

TrainConfig config_for(const std::string& method, int steps) {
  auto config = toy_config(steps);
  config.method = method;
  return config;
}

Rollout answer(int first, bool good) {
  Rollout rollout;
  for (int t = 0; t < kToyLength - first % 2; ++t) {
    rollout.completion.tokens.push_back((first + 2 * t + (good ? 0 : 1)) % 48);
  }
  rollout.source = Source::teacher;
  rollout.reward = good ? 1.0 : -1.0;
  return rollout;
}

// Good answers are even tokens, bad ones odd; nothing is sampled.
std::unique_ptr<ToyRun> lessons(const TrainConfig& train) {
  auto run = std::make_unique<ToyRun>(train);
  auto draw = run->stages.draw;
  auto method = train.method;
  run->stages.draw = [=](uint64_t first, size_t count, const TaskRecords& records) {
    auto groups = draw(first, count, records);
    for (auto& group : groups) {
      int start = 2 * static_cast<int>(group.prompt.key % 8);
      bool labelled = method == "kto";
      bool good = !labelled || group.prompt.key % 2 == 0;
      group.rollouts.push_back(answer(start, good));
      if (method != "sft" && !labelled) group.rollouts.push_back(answer(start, false));
    }
    return groups;
  };
  run->stages.reward_names.clear();
  run->stages.generate = [](std::span<RolloutGroup>, int, const SamplingEvents&) {};
  run->stages.score = [](std::span<RolloutGroup>, const OnScored&) {};
  return run;
}

}  // namespace

// The mean over all tokens of -log p, as TRL's SFTTrainer and mlx_lm.lora have it.
TEST(AnswerMethods, SftIsTheMeanTokenLoss) {
  TempDir dir;
  auto run = lessons(config_for("sft", 40));
  auto groups = run->stages.draw(0, 2, {});
  double sum = 0, tokens = 0;
  for (auto& group : groups) {
    for (auto& rollout : group.rollouts) rollout.advantage = 1;
  }
  for (const auto& batch : pack(groups, run->config.batch)) {
    sum -= mx::sum(completion_logprobs(run->model, batch, 1.0f).logprobs).item<float>();
    for (int length : batch.lengths) tokens += length;
  }
  run->run(dir.path());
  auto rows = metrics_in(dir);
  EXPECT_NEAR(rows[0]["loss"].get<double>(), sum / tokens, 1e-5);
  EXPECT_LT(rows[39]["loss"].get<double>(), 0.7 * rows[0]["loss"].get<double>());
}

TEST(AnswerMethods, PreferencesMoveTheRewardsApart) {
  for (const char* method : {"dpo", "ipo", "simpo", "kto"}) {
    TempDir dir;
    auto run = lessons(config_for(method, 30));
    run->run(dir.path());
    auto rows = metrics_in(dir);
    auto margin = [&](size_t i) { return rows[i]["rewards/margins"].get<double>(); };
    EXPECT_GT(margin(29), margin(0) + 0.05) << method;
    if (std::string(method) == "kto") {
      EXPECT_GE(rows[29]["kl"].get<double>(), 0);
    } else {
      EXPECT_EQ(rows[29]["rewards/accuracies"], 1.0) << method;
    }
    if (std::string(method) != "simpo") {
      EXPECT_NEAR(margin(0), 0, 1e-5) << method;
    }
  }
}

TEST(AnswerMethods, OnlineDpoLearnsFromTheBestAndTheWorst) {
  TempDir dir;
  auto config = config_for("online_dpo", 40);
  ToyRun run(config);
  run.run(dir.path());
  auto rows = metrics_in(dir);
  auto mean = [&](size_t first) {
    double sum = 0;
    for (size_t i = first; i < first + 8; ++i) sum += rows[i]["reward"].get<double>();
    return sum / 8;
  };
  EXPECT_GT(mean(32), mean(0) + 0.1);
  EXPECT_NEAR(rows[0]["rollout/wasted_tokens"].get<double>(), 4.0 / 6, 0.2);
  EXPECT_LT(rows[0]["sampling/sampling_logp_difference/max"].get<double>(), 1e-4);
}

TEST(AnswerMethods, AMovedReferenceSurvivesAResume) {
  for (const char* method : {"dpo", "grpo"}) {
    auto config = config_for(method, 6);
    config.beta = 0.1;
    config.sync_ref_model = true;
    config.ref_model_sync_steps = 2;
    auto make = [&] {
      return config.method == "dpo" ? lessons(config)
                                    : std::make_unique<ToyRun>(config);
    };
    TempDir whole_dir, cut_dir, still_dir;
    auto whole = make(), cut = make(), resumed = make();
    testing::expect_resume_is_exact(
        *whole, whole_dir.path(), *cut, *resumed, cut_dir.path(), 3);
    config.sync_ref_model = false;
    auto still = make();
    still->run(still_dir.path());
    bool same = true;
    for (size_t i = 0; i < still->learner->params().size(); ++i) {
      same &= mx::array_equal(whole->learner->params()[i], still->learner->params()[i])
                  .item<bool>();
    }
    EXPECT_FALSE(same) << method;
  }
}

// The first move starts from the adapter that changes nothing.
TEST(AnswerMethods, TheReferenceFollowsThePolicy) {
  ToyRun run(config_for("grpo", 1));
  auto moved = run.learner->params();
  for (auto& p : moved) p = p + mx::array(0.1f);
  run.learner->restore(moved, run.learner->state(), 0);
  auto groups = lessons(config_for("dpo", 1))->stages.draw(0, 1, {});
  for (auto& rollout : groups[0].rollouts) rollout.advantage = *rollout.reward;
  auto batch = pack(groups, run.config.batch)[0];
  auto distance = [&] {
    auto d =
        run.learner->reference_logprobs(batch) - run.learner->logprobs(batch).logprobs;
    return mx::max(mx::abs(d)).item<float>();
  };
  auto off = run.learner->reference_logprobs(batch);
  run.learner->sync_reference(0.0);
  EXPECT_TRUE(
      mx::allclose(run.learner->reference_logprobs(batch), off, 0, 1e-6).item<bool>());
  float far = distance();
  EXPECT_GT(far, 1e-3f);
  run.learner->sync_reference(0.5);
  EXPECT_LT(distance(), far);
  run.learner->sync_reference(1.0);
  EXPECT_EQ(distance(), 0);
}

TEST(AnswerMethods, SettingsThatExcludeEachOtherAreRefused) {
  auto refused = [](auto&& change) {
    TrainConfig config;
    config.method = "dpo";
    change(config);
    EXPECT_THROW(resolve_method(config), std::invalid_argument);
  };
  refused([](auto& c) { c.beta = 0; });
  refused([](auto& c) { c.method = "kto", c.prompts_per_step = 1; });
  refused([](auto& c) { c.method = "grpo", c.sync_ref_model = true; });
  refused([](auto& c) { c.method = "ppo"; });
}

}  // namespace pupil
