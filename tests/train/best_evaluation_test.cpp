#include "train/best_evaluation.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "support/files.h"
#include "support/temp_dir.h"
#include "train/toy_rows.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
using testing::has;
using testing::refusal;
using testing::rows_of;
using testing::TempDir;
using testing::toy_config;
using testing::ToyRun;

// Evaluations say these numbers, one after the other.
void evaluate_as(ToyRun& run, std::vector<double> numbers) {
  run.hooks.evaluate = [numbers, next = size_t{0}](int step) mutable {
    return nlohmann::ordered_json{{"step", step}, {"eval_reward", numbers.at(next++)}};
  };
}

}  // namespace

TEST(BestEvaluation, CountsAsHuggingFaceDoes) {
  BestEvaluation best;
  EXPECT_TRUE(best.add(0.5, 10, 0.1));
  EXPECT_TRUE(best.add(0.55, 20, 0.1));  // the best, but no progress
  EXPECT_EQ(best.without_progress, 1);
  EXPECT_FALSE(best.add(0.55, 30, 0.1));
  EXPECT_EQ(best.without_progress, 2);
  EXPECT_TRUE(best.add(0.7, 40, 0.1));
  EXPECT_EQ(best.without_progress, 0);
  EXPECT_EQ(best.step, 40);
  auto read = best_evaluation_of(to_json(best));
  EXPECT_EQ(read.value, best.value);
  EXPECT_EQ(read.step, 40);
  EXPECT_FALSE(best_evaluation_of(to_json(BestEvaluation())).value);
}

TEST(BestEvaluation, AMetricIsNamedWithAndWithoutItsPrefix) {
  nlohmann::ordered_json row = {{"step", 1}, {"eval_a", 0.5}, {"eval_b", nullptr}};
  EXPECT_EQ(metric_of(row, "eval_a"), 0.5);
  EXPECT_EQ(metric_of(row, "a"), 0.5);
  EXPECT_FALSE(metric_of(row, "b"));
  auto text = refusal([&] { metric_of(row, "c"); });
  EXPECT_TRUE(has(text, "no 'eval_c'; it has eval_a, eval_b"));
}

TEST(BestEvaluation, ItsCheckpointStaysAndNewerOnesAreCounted) {
  TempDir dir;
  auto config = toy_config(9);
  config.save_total_limit = 2;
  config.eval_steps = 1;
  ToyRun run(config);
  evaluate_as(run, {0.1, 0.2, 0.9, 0.4, 0.3, 0.9, 0.1, 0.5});
  run.run(dir.path());
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir.path() / "checkpoints"))
    names.insert(entry.path().filename().string());
  EXPECT_EQ(
      names,
      (std::set<std::string>{"LATEST", "step-000003", "step-000008", "step-000009"}));
}

// The best so far is of step 4, whose checkpoint does not fit on the disk.
TEST(BestEvaluation, TheBestThatWasSavedStaysWhereABetterOneCouldNotBe) {
  TempDir dir;
  auto config = toy_config(9);
  config.save_total_limit = 1;
  config.eval_steps = 1;
  auto blocked = dir.path() / ("tasks.json.tmp." + std::to_string(getpid()));
  for (int part : {1, 2}) {  // the second goes on with what the first wrote
    ToyRun run(config);
    run.hooks.evaluate = [&](int step) {
      if (step == 4) fs::create_directories(blocked / "in the way");
      double value = step == 4 ? 0.9 : step == 2 ? 0.5 : 0.1;
      return nlohmann::ordered_json{{"step", step}, {"eval_reward", value}};
    };
    testing::stop_after(run, part == 1 ? 7 : 100);
    auto count = run.hooks.on_metrics;
    run.hooks.on_metrics = [&](const nlohmann::ordered_json& row) {
      if (row["step"] == 5) fs::remove_all(blocked);
      count(row);
    };
    RunDir files(dir.path(), part == 2, "{}\n");
    files.write("config.yaml", "train: {}\n");
    Trainer trainer(*run.learner, run.stages, files, run.config, run.hooks);
    if (part == 2) trainer.resume();
    try {
      trainer.run();
    } catch (const Stopped&) {
      EXPECT_EQ(part, 1);
    }
    EXPECT_EQ(trainer.best().step, 2);
    EXPECT_EQ(trainer.best().value, 0.5);
    EXPECT_TRUE(fs::exists(files.checkpoint_of(trainer.best().step))) << part;
    EXPECT_EQ(trainer.step(), part == 1 ? 7 : 9);
  }
}

TEST(BestEvaluation, WithoutProgressTheRunEndsEarlyAlsoWhenResumed) {
  TempDir dir;
  auto config = toy_config(20);
  config.eval_steps = 2;
  config.early_stopping_patience = 3;
  ToyRun run(config);
  evaluate_as(run, {0.5, 0.6, 0.6, 0.2, 0.6, 0.9});
  run.run(dir.path());
  EXPECT_EQ(rows_of(dir.path() / "metrics.jsonl").size(), 15u);  // 10 steps
  EXPECT_TRUE(
      has(testing::read_text(dir.path() / "log.txt"),
          "stopped early: eval_reward was not better than 0.6, of step 4, in 3"));
  ToyRun again(config);
  evaluate_as(again, {});
  again.run(dir.path(), true);
  EXPECT_EQ(rows_of(dir.path() / "metrics.jsonl").size(), 15u);
}

}  // namespace pupil
