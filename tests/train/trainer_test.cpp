#include "train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "algo/methods.h"
#include "base/error.h"
#include "support/temp_dir.h"
#include "train/toy_rows.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
using testing::expect_same_bits;
using testing::rows_of;
using testing::TempDir;
using testing::timeless;
using testing::toy_config;
using testing::ToyRun;

double mean_reward(const std::vector<nlohmann::json>& rows, size_t first, size_t last) {
  double sum = 0;
  for (size_t i = first; i < last; ++i) sum += rows[i]["reward"].get<double>();
  return sum / static_cast<double>(last - first);
}

}  // namespace

TEST(Trainer, LearnsTheToyTask) {
  for (const auto& method : kMethods) {
    std::string name(method.name);
    if (method.beta > 0) continue;  // see LearnsWithTheReferenceInTheReward
    TempDir dir;
    auto config = toy_config(30);
    config.method = name;
    ToyRun run(config);
    run.run(dir.path());
    auto rows = rows_of(dir.path() / "metrics.jsonl");
    ASSERT_EQ(rows.size(), 30u);
    EXPECT_GT(mean_reward(rows, 25, 30), mean_reward(rows, 0, 5) + 0.2) << name;
    for (const auto& row : rows) {
      EXPECT_LT(row["sampling/sampling_logp_difference/max"].get<double>(), 1e-4);
    }
  }
}

TEST(Trainer, LearnsWithTheReferenceInTheReward) {
  for (const char* method :
       {"rloo", "reinforce_pp", "reinforce_pp_baseline", "plain"}) {
    TempDir dir;
    auto config = toy_config(30);
    config.method = method;
    config.beta = 0.01;
    ToyRun run(config);
    run.run(dir.path());
    auto rows = rows_of(dir.path() / "metrics.jsonl");
    EXPECT_GT(mean_reward(rows, 25, 30), mean_reward(rows, 0, 5) + 0.2) << method;
    EXPECT_NEAR(rows[0]["kl"].get<double>(), 0.0, 1e-5) << method;
    auto last = std::find_if(rows.rbegin(), rows.rend(), [](const auto& row) {
      return !row["kl"].is_null();  // a step may have nothing to learn
    });
    ASSERT_NE(last, rows.rend());
    EXPECT_GT((*last)["kl"].template get<double>(), 1e-3) << method;
  }
}

// Every controller and memory is in the checkpoint.
TEST(Trainer, AResumedRunKeepsItsControllers) {
  for (const char* method : {"plain", "rloo", "clip_cov"}) {
    TempDir whole_dir, cut_dir;
    auto config = toy_config(8);
    config.method = method;
    config.beta = 0.05;
    config.kl_target = 0.001;
    config.kl_horizon = 20;
    config.use_adaptive_entropy = true;
    config.entropy_target = 10;
    config.top_entropy_quantile = 0.5;
    ToyRun whole(config), cut(config), resumed(config);
    testing::expect_resume_is_exact(
        whole, whole_dir.path(), cut, resumed, cut_dir.path(), 4);
    auto rows = timeless(rows_of(whole_dir.path() / "metrics.jsonl"));
    EXPECT_EQ(rows, timeless(rows_of(cut_dir.path() / "metrics.jsonl")));
    EXPECT_NE(rows[1]["kl_coef"], rows[7]["kl_coef"]);
    EXPECT_GT(rows[7]["entropy_coef"].get<double>(), 0.03);
  }
}

TEST(Trainer, AResumedRunEqualsAnUninterruptedOne) {
  for (int iterations : {1, 2}) {
    TempDir whole_dir, cut_dir;
    auto config = toy_config(10);
    config.num_iterations = iterations;
    config.beta = 0.05;
    config.lr_scheduler_type = "cosine";
    config.warmup_steps = 2;
    ToyRun whole(config), cut(config), resumed(config);
    testing::expect_resume_is_exact(
        whole, whole_dir.path(), cut, resumed, cut_dir.path(), 4);
    for (const char* name : {"metrics.jsonl", "rollouts.jsonl"}) {
      EXPECT_EQ(
          timeless(rows_of(whole_dir.path() / name)),
          timeless(rows_of(cut_dir.path() / name)));
    }
  }
}

TEST(Trainer, ARunResumesToTheBitWithAnyOptimizer) {
  for (const char* optim : {"adam", "sgd", "lion", "adafactor", "muon", "adamw_8bit"}) {
    TempDir whole_dir, cut_dir;
    auto config = toy_config(6);
    config.optim = optim;
    config.weight_decay = 0.01;
    ToyRun whole(config), cut(config), resumed(config);
    testing::expect_resume_is_exact(
        whole, whole_dir.path(), cut, resumed, cut_dir.path(), 3);
    EXPECT_EQ(whole.learner->optimizer().name(), optim);
  }
}

TEST(Trainer, AKilledRunGoesOnFromItsLastCheckpoint) {
  TempDir whole_dir, cut_dir;
  ToyRun whole(toy_config(7));
  whole.run(whole_dir.path());
  ToyRun killed(toy_config(7));
  int rounds = 0;
  auto generate = killed.stages.generate;
  killed.stages.generate =
      [&](std::span<RolloutGroup> groups, int n, const SamplingEvents& events) {
        if (++rounds == 6) throw std::runtime_error("power cut");
        generate(groups, n, events);
      };
  EXPECT_THROW(killed.run(cut_dir.path()), std::runtime_error);
  ASSERT_EQ(
      rows_of(cut_dir.path() / "metrics.jsonl").size(), 5u);  // checkpoint: step 4
  ToyRun resumed(toy_config(7));
  resumed.run(cut_dir.path(), true);
  expect_same_bits(whole, resumed);
  EXPECT_EQ(rows_of(cut_dir.path() / "metrics.jsonl").size(), 7u);
}

TEST(Trainer, WhatFailsBetweenStepsLosesNoFinishedStep) {
  auto config = toy_config(6);
  config.save_steps = 100;
  TempDir whole_dir;
  ToyRun whole(config);
  whole.run(whole_dir.path());
  for (bool by_budget : {true, false}) {
    TempDir dir;
    ToyRun cut(config);
    auto score = cut.stages.score;
    cut.stages.score = [&, rounds = 0](
                           std::span<RolloutGroup> groups,
                           const OnScored& scored) mutable {
      if (++rounds == 4 && by_budget) throw Stopped("no quota is left");
      if (rounds == 4) throw std::runtime_error("the teacher's key is void");
      score(groups, scored);
    };
    if (by_budget) {
      EXPECT_THROW(cut.run(dir.path()), Stopped);
    } else {
      EXPECT_THROW(cut.run(dir.path()), std::runtime_error);
    }
    EXPECT_TRUE(fs::exists(dir.path() / "checkpoints/step-000003"));
    ToyRun resumed(config);
    resumed.run(dir.path(), true);
    expect_same_bits(whole, resumed);
    EXPECT_EQ(
        timeless(rows_of(whole_dir.path() / "metrics.jsonl")),
        timeless(rows_of(dir.path() / "metrics.jsonl")));
  }
}

// A run stopped in an evaluation makes it when it goes on, and no other one twice.
TEST(Trainer, AnEvaluationThatWasCutOffIsMadeAgain) {
  auto config = toy_config(7);
  config.eval_steps = 2;
  TempDir dir;
  std::vector<int> evaluated;
  ToyRun cut(config), resumed(config);
  cut.hooks.evaluate = [&](int step) {
    if (step == 4) throw Stopped("asked to");
    evaluated.push_back(step);
    return nlohmann::ordered_json();
  };
  EXPECT_THROW(cut.run(dir.path()), Stopped);
  resumed.hooks.evaluate = [&](int step) {
    evaluated.push_back(step);
    return nlohmann::ordered_json();
  };
  resumed.run(dir.path(), true);
  EXPECT_EQ(evaluated, (std::vector<int>{2, 4, 6}));
}

TEST(Trainer, AMissingAnswerIsCountedAndChangesNothingElse) {
  TempDir dir, without_dir;
  ToyRun run(toy_config(1)), without(toy_config(1));
  auto generate = run.stages.generate;
  run.stages.generate =
      [&](std::span<RolloutGroup> groups, int n, const SamplingEvents& events) {
        generate(groups, n, events);
        groups[0].rollouts.emplace_back().missing = "teacher: HTTP 500";
      };
  run.stages.score = [](std::span<RolloutGroup> groups, const OnScored&) {
    testing::toy_score(groups);
    auto& missing = groups[0].rollouts.back();
    missing.scores = {{std::nullopt, missing.missing}};
    missing.reward.reset();
  };
  run.run(dir.path());
  without.run(without_dir.path());
  expect_same_bits(run, without);
  auto row = timeless(rows_of(dir.path() / "metrics.jsonl"))[0];
  EXPECT_EQ(row["completions/missing"], 1);
  for (const char* name : {"unscored", "rewards/even/unscored"}) {
    EXPECT_EQ(row[name], 1);
    row[name] = 0;
  }
  row["completions/missing"] = 0;
  auto expected = timeless(rows_of(without_dir.path() / "metrics.jsonl"))[0];
  row.erase("num_tokens");  // its prompt was read
  expected.erase("num_tokens");
  EXPECT_EQ(row, expected);
  auto rollout = rows_of(dir.path() / "rollouts.jsonl")[6];
  EXPECT_TRUE(rollout["completion"].is_null());
  EXPECT_TRUE(rollout["finish_reason"].is_null());
  EXPECT_EQ(rollout["missing"], "teacher: HTTP 500");
}

TEST(Trainer, AStepWithoutSignalIsSkippedAndReported) {
  TempDir dir;
  ToyRun run(toy_config(2));
  run.stages.score = [](std::span<RolloutGroup> groups, const OnScored&) {
    for (auto& group : groups) {
      for (auto& rollout : group.rollouts) rollout.reward = 0.1;
    }
  };
  auto before = run.learner->params();
  run.run(dir.path());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(mx::array_equal(before[i], run.learner->params()[i]).item<bool>());
  }
  auto rows = rows_of(dir.path() / "metrics.jsonl");
  EXPECT_TRUE(rows[0]["skipped"].get<bool>());
  EXPECT_EQ(rows[0]["frac_reward_zero_std"], 1.0);
  EXPECT_EQ(run.learner->optimizer().step(), 0);
}

TEST(Trainer, UnscoredRolloutsAreCountedAndLeftOut) {
  TempDir dir;
  ToyRun run(toy_config(1));
  run.stages.score = [](std::span<RolloutGroup> groups, const OnScored&) {
    testing::toy_score(groups);
    groups[0].rollouts[0].reward.reset();
    groups[0].rollouts[0].scores = {{std::nullopt, "the box did not start"}};
  };
  run.run(dir.path());
  auto row = rows_of(dir.path() / "metrics.jsonl")[0];
  EXPECT_EQ(row["unscored"], 1);
  EXPECT_EQ(row["rewards/even/unscored"], 1);
  auto rollout = rows_of(dir.path() / "rollouts.jsonl")[0];
  EXPECT_TRUE(rollout["reward"].is_null());
  EXPECT_TRUE(rollout["logp_difference"].is_null());
  EXPECT_EQ(rollout["advantage"], 0.0);
  EXPECT_EQ(rollout["reasons"]["even"], "the box did not start");
}

TEST(Trainer, ASamplerThatDisagreesStopsTheRun) {
  TempDir dir;
  ToyRun run(toy_config(3));
  auto generate = run.stages.generate;
  run.stages.generate =
      [&](std::span<RolloutGroup> groups, int n, const SamplingEvents& events) {
        generate(groups, n, events);
        for (auto& logprob : groups[0].rollouts[0].completion.logprobs) logprob -= 5.0f;
      };
  try {
    run.run(dir.path());
    FAIL() << "the run went on";
  } catch (const std::runtime_error& error) {
    std::string text = error.what();
    EXPECT_NE(text.find("step 1"), std::string::npos) << text;
    EXPECT_NE(text.find("disagree"), std::string::npos) << text;
  }
  EXPECT_EQ(run.learner->optimizer().step(), 0);
}

TEST(Trainer, ABrokenNumberNamesTheStepAndTheCheckpoint) {
  TempDir dir;
  ToyRun run(toy_config(5));
  run.stages.score = [steps = 0](
                         std::span<RolloutGroup> groups, const OnScored&) mutable {
    testing::toy_score(groups);
    if (++steps == 4) groups[0].rollouts[1].reward = NAN;
  };
  try {
    run.run(dir.path());
    FAIL() << "the run went on";
  } catch (const std::runtime_error& error) {
    std::string text = error.what();
    EXPECT_NE(text.find("step 4: the loss is not finite"), std::string::npos) << text;
    EXPECT_NE(text.find("step-000003"), std::string::npos) << text;
  }
}

// Two functions with equal sums in every group: only their parts differ.
TEST(Trainer, NormalizeThenSumLearnsFromThePartsOfEqualSums) {
  for (auto aggregation :
       {Aggregation::sum_then_normalize, Aggregation::normalize_then_sum}) {
    TempDir dir;
    ToyRun run(toy_config(2));
    run.config.aggregation = aggregation;
    run.stages.reward_names = {"even", "odd"};
    run.stages.reward_weights = {1.0, 1.0};
    run.stages.score = [](std::span<RolloutGroup> groups, const OnScored&) {
      for (auto& group : groups) {
        for (size_t i = 0; i < group.rollouts.size(); ++i) {
          const double x = i % 3 == 0 ? 1 : 0, y = i == 1 ? 2 : i % 3 == 0 ? 0 : 1;
          group.rollouts[i].scores = {{x, ""}, {y, ""}};
          group.rollouts[i].reward = 1.0;
        }
      }
    };
    run.run(dir.path() / "run");
    bool parts = aggregation == Aggregation::normalize_then_sum;
    for (const auto& row : rows_of(dir.path() / "run/metrics.jsonl")) {
      EXPECT_EQ(row.at("skipped"), !parts);
    }
    double sum = 0, size = 0;
    for (const auto& row : rows_of(dir.path() / "run/rollouts.jsonl")) {
      sum += row.at("advantage").get<double>();
      size += std::abs(row.at("advantage").get<double>());
      EXPECT_EQ(row.at("scores").size(), 2u);
    }
    EXPECT_NEAR(sum, 0, 1e-9);
    EXPECT_EQ(size > 1, parts);
  }
}

}  // namespace pupil
