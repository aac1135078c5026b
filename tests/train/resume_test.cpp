// Resumed = uninterrupted, at every step boundary, with everything that has a memory.

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/temp_dir.h"
#include "train/toy_rows.h"

namespace pupil {

namespace {

using testing::expect_same_bits;
using testing::rows_of;
using testing::stop_after;
using testing::TempDir;
using testing::timeless;
using testing::toy_config;
using testing::ToyRun;

// Schedule, adaptive KL and entropy bonus, a curriculum, several microbatches a step, a
// moving average, and an evaluation of that now and then.
TrainConfig busy_config(int max_steps) {
  auto config = toy_config(max_steps);
  config.lr_scheduler_type = "cosine";
  config.warmup_steps = 4;
  config.beta = 0.05;
  config.kl_target = 0.001;
  config.kl_horizon = 20;
  config.use_adaptive_entropy = true;
  config.entropy_target = 10;
  config.baseline = "running";
  config.eval_steps = 3;
  config.ema_decay = 0.9;
  return config;
}

void draw_by_curriculum(ToyRun& run) {
  auto groups_of = run.stages.draw;
  run.stages.draw = [groups_of](
                        uint64_t drawn, size_t count, const TaskRecords& records) {
    std::vector<std::string> ids;
    for (int i = 0; i < 12; ++i) ids.push_back("toy/" + std::to_string(i));
    auto groups = groups_of(drawn, count, records);
    auto tasks = choose_tasks(Curriculum::uncertain, ids, records, 1, drawn, count);
    for (size_t i = 0; i < count; ++i) {
      int task = static_cast<int>(tasks[i]);
      groups[i].prompt.tokens = {task, 12 + task, 24 + task};
      groups[i].task.id = ids[task];
    }
    return groups;
  };
}

struct BusyRun : ToyRun {
  explicit BusyRun(const TrainConfig& train, int max_tokens = 20) : ToyRun(train) {
    draw_by_curriculum(*this);
    config.batch.max_tokens = max_tokens;
    hooks.evaluate = [this](int step) {
      auto sum = mx::sum(mx::abs(learner->exported()[1])).item<float>();
      return nlohmann::ordered_json{{"step", step}, {"eval_reward", sum}};
    };
  }
};

// Trains to `max_steps`, leaving the process, as it were, after each of `stops`.
void run_in_pieces(
    const TrainConfig& train,
    const std::filesystem::path& dir,
    const std::vector<int>& stops) {
  int before = 0;
  for (int stop : stops) {
    BusyRun part(train);
    stop_after(part, stop - before);
    EXPECT_THROW(part.run(dir, before > 0), Stopped);
    before = stop;
  }
}

void expect_same_rows(const std::filesystem::path& a, const std::filesystem::path& b) {
  for (const char* name : {"metrics.jsonl", "rollouts.jsonl"}) {
    EXPECT_EQ(timeless(rows_of(a / name)), timeless(rows_of(b / name))) << name;
  }
  EXPECT_EQ(rows_of(a / "tasks.json", true), rows_of(b / "tasks.json", true));
}

}  // namespace

TEST(Resume, AtEveryStepOf30EqualsUninterrupted) {
  auto config = busy_config(30);
  config.save_steps = 1000;
  TempDir whole_dir, cut_dir;
  BusyRun whole(config);
  whole.run(whole_dir.path());
  std::vector<int> every;
  for (int step = 1; step < 30; ++step) every.push_back(step);
  run_in_pieces(config, cut_dir.path(), every);
  BusyRun last(config);
  last.run(cut_dir.path(), true);
  expect_same_bits(whole, last);
  expect_same_rows(whole_dir.path(), cut_dir.path());
  auto rows = rows_of(cut_dir.path() / "metrics.jsonl");
  EXPECT_EQ(rows.size(), 39u);  // 30 steps, 9 evaluations
  EXPECT_NE(rows[1]["kl_coef"], rows.back()["kl_coef"]);
}

// A stop in the middle leaves 20 steps in one piece behind it.
TEST(Resume, AfterOneStopEqualsUninterrupted) {
  for (int stop : {1, 9, 10, 20, 29}) {
    auto config = busy_config(30);
    config.save_steps = 1000;
    TempDir whole_dir, cut_dir;
    BusyRun whole(config);
    whole.run(whole_dir.path());
    run_in_pieces(config, cut_dir.path(), {stop});
    BusyRun last(config);
    last.run(cut_dir.path(), true);
    expect_same_bits(whole, last);
    expect_same_rows(whole_dir.path(), cut_dir.path());
  }
}

// The order in which gradients are added up is another: float32 rounds otherwise.
TEST(Resume, WithAnotherMicrobatchSizeIsTheSameToRounding) {
  auto config = busy_config(8);
  TempDir whole_dir, cut_dir;
  BusyRun whole(config, 20);
  whole.run(whole_dir.path());
  run_in_pieces(config, cut_dir.path(), {4});
  BusyRun other(config, 200);
  other.run(cut_dir.path(), true);
  for (size_t i = 0; i < whole.learner->params().size(); ++i) {
    auto difference =
        mx::max(mx::abs(whole.learner->params()[i] - other.learner->params()[i]));
    EXPECT_LT(difference.item<float>(), 1e-6) << whole.learner->paths()[i];
  }
}

// Weights that do not move by themselves are the new settings'.
TEST(Resume, TakesAnotherBetaAndEntropyCoef) {
  auto config = toy_config(4);
  config.beta = 0.5;
  config.entropy_coef = 0.01;
  TempDir dir;
  ToyRun first(config);
  stop_after(first, 2);
  EXPECT_THROW(first.run(dir.path()), Stopped);
  config.beta = 0.25;
  config.entropy_coef = 0.02;
  ToyRun rest(config);
  rest.run(dir.path(), true);
  EXPECT_EQ(rest.learner->loss().beta, 0.25);
  EXPECT_EQ(rest.learner->loss().entropy_coef, 0.02);
}

// Killed after the evaluation was written and before the next checkpoint.
TEST(Resume, AnEvaluationIsNotToldTwice) {
  auto config = busy_config(7);
  config.save_steps = 2;
  TempDir dir, whole_dir;
  {
    BusyRun cut(config);
    auto evaluate = cut.hooks.evaluate;
    cut.hooks.evaluate = [&, count = 0](int step) mutable {
      if (++count == 2) throw Stopped("asked to");
      return evaluate(step);
    };
    EXPECT_THROW(cut.run(dir.path()), Stopped);  // saves step 6
  }
  {
    BusyRun killed(config);
    killed.stages.generate = [](std::span<RolloutGroup>, int, const SamplingEvents&) {
      throw std::runtime_error("power cut");
    };
    EXPECT_THROW(killed.run(dir.path(), true), std::runtime_error);
  }
  BusyRun rest(config), whole(config);
  rest.run(dir.path(), true);
  whole.run(whole_dir.path());
  expect_same_rows(whole_dir.path(), dir.path());
}

}  // namespace pupil
