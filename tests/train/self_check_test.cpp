#include "train/self_check.h"

#include <gtest/gtest.h>

#include "train/evaluation.h"
#include "train/toy_run.h"

namespace pupil {

namespace {

using testing::toy_config;
using testing::ToyRun;

std::string complaint(ToyRun& run) {
  SelfCheckConfig config;
  config.batch = run.config.batch;
  config.eos_id = 2;
  try {
    self_check(run.model, *run.learner, run.stages, config);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST(SelfCheck, PassesOnASoundRunAndChangesNothing) {
  ToyRun run(toy_config(1));
  auto before = run.learner->params();
  EXPECT_EQ(complaint(run), "");
  EXPECT_TRUE(run.learner->gradient().empty());
  EXPECT_EQ(run.learner->optimizer().step(), 0);
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(mx::array_equal(before[i], run.learner->params()[i]).item<bool>());
  }
}

TEST(SelfCheck, SeesASamplerWithOtherLogprobs) {
  ToyRun run(toy_config(1));
  auto generate = run.stages.generate;
  run.stages.generate =
      [&](std::span<RolloutGroup> groups, int n, const SamplingEvents& events) {
        generate(groups, n, events);
        for (float& logprob : groups[0].rollouts[0].completion.logprobs)
          logprob -= 1.0f;
      };
  EXPECT_NE(complaint(run).find("sampler"), std::string::npos);
}

TEST(SelfCheck, TakesTheFirstTaskWhoseAnswersAreThere) {
  ToyRun run(toy_config(1));
  auto generate = run.stages.generate;
  int tasks_without = 1;
  run.stages.generate =
      [&](std::span<RolloutGroup> groups, int n, const SamplingEvents& events) {
        generate(groups, n, events);
        if (tasks_without-- > 0) {
          groups[0].rollouts[1] = {};
          groups[0].rollouts[1].missing = "teacher: HTTP 500";
        }
      };
  EXPECT_EQ(complaint(run), "");
  tasks_without = 4;  // all that are tried
  EXPECT_NE(complaint(run).find("HTTP 500"), std::string::npos);
}

TEST(SelfCheck, SeesAGradientOfZero) {
  ToyRun run(toy_config(1));
  // With both factors zero nothing can ever move.
  for_each_linear(run.model, [](const std::string&, Linear& linear) {
    linear.lora->a = mx::zeros_like(linear.lora->a);
  });
  run.learner.emplace(run.model, LearnerConfig{});
  EXPECT_NE(complaint(run).find("gradient"), std::string::npos);
}

TEST(SelfCheck, SeesALossThatIgnoresThePrompt) {
  ToyRun run(toy_config(1));
  for (auto& layer : run.model.model.layers) {  // no layer mixes positions any more
    layer.self_attn.o_proj.base.weight =
        mx::zeros_like(layer.self_attn.o_proj.base.weight);
    layer.self_attn.o_proj.lora.reset();
  }
  // The first token still follows the prompt's last one: give every prompt the same.
  run.stages.draw = [](uint64_t, size_t, const TaskRecords&) {
    std::vector<RolloutGroup> groups(1);
    groups[0].prompt = {{0, 1, 0}, 1};
    return groups;
  };
  run.learner.emplace(run.model, LearnerConfig{});
  auto embedding = run.model.model.embed_tokens.weight;  // rows 0 and 1 become one
  auto row = mx::slice(embedding, {0, 0}, {1, embedding.shape(1)});
  run.model.model.embed_tokens.weight = mx::slice_update(
      embedding, row, mx::Shape{1, 0}, mx::Shape{2, embedding.shape(1)});
  EXPECT_NE(complaint(run).find("prompt"), std::string::npos);
}

TEST(Evaluation, AveragesTheSamplesOfEachTask) {
  ToyRun run(toy_config(1));
  run.stages.reward_names = {"tests"};
  run.stages.score = [](std::span<RolloutGroup> groups, const OnScored&) {
    for (auto& group : groups) {
      double value = 1.0;
      for (auto& rollout : group.rollouts) {
        rollout.scores = {{value, ""}};
        rollout.reward = value;
        value /= 2;
      }
      group.rollouts.back().scores = {{std::nullopt, "no box"}};
      group.rollouts.back().reward.reset();
    }
  };
  auto evaluation =
      evaluate(run.stages.draw(0, 2, {}), run.stages, {.num_generations = 3});
  EXPECT_EQ(
      evaluation.metrics,
      (std::vector<std::string>{
          "reward", "tests", "pass@1", "pass@2", "pass@3", "length"}));
  EXPECT_EQ(evaluation.values[0], (std::vector<std::optional<double>>{0.75, 0.75}));
  EXPECT_EQ(evaluation.values[2], (std::vector<std::optional<double>>{0.5, 0.5}));
  EXPECT_EQ(*evaluation.values[5][0], testing::kToyLength);
  auto row = eval_row(evaluation, 4);
  EXPECT_EQ(row["eval_reward"], 0.75);
  EXPECT_EQ(row["eval_rewards/tests/mean"], 0.75);
}

}  // namespace pupil
