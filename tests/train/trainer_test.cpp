#include "train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "algo/methods.h"
#include "base/error.h"
#include "support/temp_dir.h"
#include "train/toy_run.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
using testing::TempDir;
using testing::toy_config;
using testing::ToyRun;

// Of a JSON Lines file, or of one that is a single object.
std::vector<nlohmann::json> rows_of(const fs::path& path, bool single = false) {
  std::vector<nlohmann::json> rows;
  std::ifstream in(path);
  if (single) return {nlohmann::json::parse(in)};
  for (std::string line; std::getline(in, line);)
    rows.push_back(nlohmann::json::parse(line));
  return rows;
}

// Metrics without the clock's.
std::vector<nlohmann::json> timeless(std::vector<nlohmann::json> rows) {
  for (auto& row : rows) {
    for (const char* name :
         {"step_time",
          "time/generate",
          "time/score",
          "time/update",
          "speed/generate",
          "speed/update"}) {
      row.erase(name);
    }
  }
  return rows;
}

void expect_same_bits(const ToyRun& a, const ToyRun& b) {
  const auto &x = *a.learner, &y = *b.learner;
  for (size_t i = 0; i < x.params().size(); ++i) {
    EXPECT_TRUE(mx::array_equal(x.params()[i], y.params()[i]).item<bool>());
    EXPECT_TRUE(
        mx::array_equal(
            x.optimizer().second_moments()[i], y.optimizer().second_moments()[i])
            .item<bool>());
  }
  EXPECT_EQ(x.optimizer().step(), y.optimizer().step());
}

// Asks to stop once `steps` steps are done.
void stop_after(ToyRun& run, int steps) {
  auto count = std::make_shared<int>(0);
  run.hooks.on_metrics = [count](const nlohmann::ordered_json&) { ++*count; };
  run.hooks.stop_requested = [count, steps] { return *count >= steps; };
}

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
    ToyRun whole(config);
    whole.run(whole_dir.path());
    ToyRun cut(config);
    stop_after(cut, 4);
    EXPECT_THROW(cut.run(cut_dir.path()), Stopped);
    ToyRun resumed(config);
    resumed.run(cut_dir.path(), true);
    expect_same_bits(whole, resumed);
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
    ToyRun whole(config);
    whole.run(whole_dir.path());

    ToyRun cut(config);
    stop_after(cut, 4);
    EXPECT_THROW(cut.run(cut_dir.path()), Stopped);
    ToyRun resumed(config);
    resumed.run(cut_dir.path(), true);
    expect_same_bits(whole, resumed);
    for (const char* name : {"metrics.jsonl", "rollouts.jsonl"}) {
      EXPECT_EQ(
          timeless(rows_of(whole_dir.path() / name)),
          timeless(rows_of(cut_dir.path() / name)));
    }
  }
}

// Off the policy: the second half of a round's prompts meets another policy.
TEST(Trainer, ARoundMayServeSeveralStepsOfOtherPrompts) {
  TempDir dir;
  auto config = toy_config(8);
  config.steps_per_generation = 2;
  config.num_iterations = 2;
  ToyRun run(config);
  int rounds = 0;
  auto draw = run.stages.draw;
  run.stages.draw = [&](uint64_t first, size_t count, const TaskRecords& records) {
    EXPECT_EQ(first, 4u * rounds++);
    EXPECT_EQ(count, 4u);
    return draw(first, count, records);
  };
  run.run(dir.path());
  EXPECT_EQ(rounds, 2);
  auto rollouts = rows_of(dir.path() / "rollouts.jsonl");
  EXPECT_EQ(rollouts.size(), 2u * 4 * 6);
  EXPECT_EQ(rollouts[12]["task"], "toy/2");
  EXPECT_EQ(rollouts[12]["step"], 2);
  auto rows = rows_of(dir.path() / "metrics.jsonl");
  EXPECT_EQ(rows[0]["reward"], rows[2]["reward"]);
  EXPECT_NE(rows[0]["reward"], rows[1]["reward"]);
  EXPECT_EQ(rows[0]["num_tokens"], rows[3]["num_tokens"]);
  double clipped = 0;
  for (const auto& row : rows) {
    clipped += row["clip_ratio/region_mean"].get<double>();
    // Of the policy that sampled, not of the one that has moved.
    EXPECT_LT(row["sampling/sampling_logp_difference/max"].get<double>(), 1e-4);
  }
  EXPECT_EQ(rows[0]["clip_ratio/region_mean"], 0.0);
  EXPECT_GT(clipped, 0);
}

// Groups 0 and 2 of every four prompts have equal rewards.
void score_every_other_group(std::span<RolloutGroup> groups, const OnScored&) {
  testing::toy_score(groups);
  for (auto& group : groups) {
    if (group.prompt.key % 2 == 1) continue;
    for (auto& rollout : group.rollouts) rollout.reward = 0.5;
  }
}

TEST(Trainer, DynamicSamplingReplacesDeadGroupsWithinItsBound) {
  std::vector<size_t> replaced, dead;
  for (int refills : {0, 1, 2}) {
    TempDir dir;
    ToyRun run(toy_config(1));
    run.config.dynamic_sampling = refills;
    run.stages.score = score_every_other_group;
    run.run(dir.path());
    auto row = rows_of(dir.path() / "metrics.jsonl")[0];
    replaced.push_back(row["rollout/replaced_groups"].get<size_t>());
    dead.push_back(row["frac_reward_zero_std"].get<double>() * 2);
    size_t rollouts = 12 + 6 * replaced.back();
    EXPECT_EQ(rows_of(dir.path() / "rollouts.jsonl").size(), rollouts);
    double lost = static_cast<double>(replaced.back() + dead.back());
    double groups = static_cast<double>(rollouts) / 6;
    EXPECT_NEAR(row["rollout/wasted_tokens"].get<double>(), lost / groups, 1e-12);
  }
  // The first refill draws prompt 2, which is dead as well, the second prompt 3.
  EXPECT_EQ(replaced, (std::vector<size_t>{0, 1, 2}));
  EXPECT_EQ(dead, (std::vector<size_t>{1, 1, 0}));
}

TEST(Trainer, OnlyTheBestOfAGroupAreLearnedFrom) {
  TempDir dir, all_dir;
  auto config = toy_config(1);
  ToyRun all(config);
  all.run(all_dir.path());
  config.top_k_samples = 2;
  ToyRun run(config);
  run.run(dir.path());
  auto rows = rows_of(dir.path() / "rollouts.jsonl");
  EXPECT_EQ(
      rows[0]["advantage"], rows_of(all_dir.path() / "rollouts.jsonl")[0]["advantage"]);
  for (size_t g = 0; g < 2; ++g) {
    std::vector<std::pair<double, size_t>> order;
    for (size_t i = 0; i < 6; ++i)
      order.push_back({-rows[6 * g + i]["reward"].get<double>(), i});
    std::sort(order.begin(), order.end());
    for (size_t place = 0; place < 6; ++place) {
      const auto& row = rows[6 * g + order[place].second];
      EXPECT_EQ(row["logp_difference"].is_null(), place >= 2);
    }
  }
  auto metrics = rows_of(dir.path() / "metrics.jsonl")[0];
  EXPECT_NEAR(metrics["rollout/wasted_tokens"].get<double>(), 4.0 / 6, 1e-12);
}

// What was drawn and how it went is in the checkpoint, refills included.
TEST(Trainer, AResumedRunKeepsItsDraws) {
  TempDir whole_dir, cut_dir;
  auto config = toy_config(8);
  config.steps_per_generation = 2;
  auto make = [&] {
    auto run = std::make_unique<ToyRun>(config);
    run->config.dynamic_sampling = 1;
    run->stages.score = score_every_other_group;
    auto draw = run->stages.draw;
    run->stages.draw = [draw](
                           uint64_t first, size_t count, const TaskRecords& records) {
      std::vector<std::string> ids = {"toy/0", "toy/1", "toy/2", "toy/3"};
      std::vector<RolloutGroup> groups;
      for (size_t i :
           choose_tasks(Curriculum::uncertain, ids, records, 1, first, count)) {
        groups.push_back(draw(i, 1, records)[0]);
        groups.back().prompt.key = first + groups.size() - 1;
      }
      return groups;
    };
    return run;
  };
  auto whole = make(), cut = make(), resumed = make();
  whole->run(whole_dir.path());
  stop_after(*cut, 3);  // in the middle of a round
  EXPECT_THROW(cut->run(cut_dir.path()), Stopped);
  resumed->run(cut_dir.path(), true);
  expect_same_bits(*whole, *resumed);
  for (const char* name : {"metrics.jsonl", "rollouts.jsonl"}) {
    EXPECT_EQ(
        timeless(rows_of(whole_dir.path() / name)),
        timeless(rows_of(cut_dir.path() / name)));
  }
  auto tasks = rows_of(whole_dir.path() / "tasks.json", true);
  EXPECT_EQ(tasks, rows_of(cut_dir.path() / "tasks.json", true));
  int draws = 0;
  for (const auto& [id, task] : tasks[0].items()) draws += task["draws"].get<int>();
  EXPECT_GT(draws, 16);  // the refills, too
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
  };
  EXPECT_THROW(cut.run(dir.path()), Stopped);
  resumed.hooks.evaluate = [&](int step) { evaluated.push_back(step); };
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
