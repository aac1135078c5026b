// What a round of sampling serves, and what it draws.

#include "train/round.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/files.h"
#include "support/temp_dir.h"
#include "train/toy_rows.h"

namespace pupil {

namespace {

using testing::rows_of;
using testing::TempDir;
using testing::timeless;
using testing::toy_config;
using testing::ToyRun;

// Groups 0 and 2 of every four prompts have equal rewards.
void score_every_other_group(std::span<RolloutGroup> groups, const OnScored&) {
  testing::toy_score(groups);
  for (auto& group : groups) {
    if (group.prompt.key % 2 == 1) continue;
    for (auto& rollout : group.rollouts) rollout.reward = 0.5;
  }
}

}  // namespace

// Off the policy: the second half of a round's prompts meets another policy.
TEST(Round, ARoundMayServeSeveralStepsOfOtherPrompts) {
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

TEST(Round, DynamicSamplingReplacesDeadGroupsWithinItsBound) {
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

TEST(Round, OnlyTheBestOfAGroupAreLearnedFrom) {
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

// A stop in the middle of a round of four steps: what was sampled is gone, and nothing
// else.
TEST(Round, AStopWhileItSamplesOrScoresIsSavedAndExact) {
  auto config = toy_config(12);
  config.steps_per_generation = 4;
  config.save_steps = 100;
  config.baseline = "running";
  TempDir whole_dir;
  ToyRun whole(config);
  whole.run(whole_dir.path());
  for (bool scores : {false, true}) {
    TempDir dir;
    ToyRun cut(config), resumed(config);
    int calls = 0;
    auto generate = cut.stages.generate;
    auto score = cut.stages.score;
    cut.stages.generate =
        [&](std::span<RolloutGroup> groups, int n, const SamplingEvents& events) {
          generate(groups, n, events);
          calls += !scores;
          events.on_sampled(1, 0);
        };
    cut.stages.score = [&](std::span<RolloutGroup> groups, const OnScored& on_scored) {
      score(groups, {});
      calls += scores;
      on_scored(1);
    };
    cut.hooks.stop_requested = [&] { return calls == 3; };
    try {
      cut.run(dir.path());
      FAIL();
    } catch (const Stopped& stop) {
      EXPECT_TRUE(testing::has(stop.what(), "stopped at step 8, all saved"));
    }
    EXPECT_TRUE(std::filesystem::exists(dir.path() / "checkpoints/step-000008"));
    resumed.run(dir.path(), true);
    testing::expect_same_bits(whole, resumed);
    for (const char* name : {"metrics.jsonl", "rollouts.jsonl"}) {
      EXPECT_EQ(
          timeless(rows_of(whole_dir.path() / name)),
          timeless(rows_of(dir.path() / name)));
    }
  }
}

// What was drawn and how it went is in the checkpoint, refills included.
TEST(Round, AResumedRunKeepsItsDraws) {
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
  testing::expect_resume_is_exact(
      *whole, whole_dir.path(), *cut, *resumed, cut_dir.path(), 3);  // within a round
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

}  // namespace pupil
