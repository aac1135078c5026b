// Resumed = uninterrupted, through the executable, with all that has a memory.

#include <gtest/gtest.h>

#include "app/grading_server.h"
#include "app/run_rows.h"
#include "app/tiny_world.h"

namespace pupil::testing {
namespace {

constexpr int kSteps = 30;

// A teacher with its cache, a curriculum, replaced groups, several microbatches, a KL
// and an entropy bonus that move, a moving average.
std::string everything(const ScriptedServer& server) {
  return "'--reward.functions=[{name: teacher, weight: 1}, {name: format, weight: 1}]' "
         "--teacher.provider=openai --teacher.model=judge-1 "
         "--teacher.cache=cache.sqlite --teacher.base_url=" +
         server.url() +
         " --data.curriculum=uncertain --rollout.dynamic_sampling=1 "
         "--train.beta=0.05 --train.kl_target=0.001 --train.kl_horizon=20 "
         "--train.use_adaptive_entropy=true --train.entropy_target=10 "
         "--train.ema_decay=0.9 --train.max_tokens_per_microbatch=12 "
         "--train.save_steps=1000 ";
}

// What the teacher's client did is told by the process.
std::vector<nlohmann::json> without_teacher(std::vector<nlohmann::json> rows) {
  for (auto& row : rows) {
    auto all = row;
    for (const auto& [key, value] : all.items()) {
      if (key.starts_with("teacher/")) row.erase(key);
    }
  }
  return rows;
}

TEST(ResumedRun, AtEveryStepOf30EqualsTheUninterruptedOne) {
  TinyWorld world;
  ScriptedServer server(judged);
  auto steps = [](int count) { return "--train.max_steps=" + std::to_string(count); };
  auto begin = "train -c config.yaml " + everything(server);
  auto whole = world.run(begin + "--logging.run_dir=whole " + steps(kSteps));
  ASSERT_EQ(whole.exit_code, 0) << whole.errors;
  size_t asked = server.count();
  ASSERT_EQ(world.run(begin + steps(1)).exit_code, 0);
  for (int step = 2; step <= kSteps; ++step) {
    auto next = world.run("train --resume run " + steps(step));
    ASSERT_EQ(next.exit_code, 0) << next.errors;
    ASSERT_TRUE(has(next.output, "resumed at step " + std::to_string(step - 1)));
  }
  for (const char* name :
       {"/adapters/adapters.safetensors",
        "/checkpoints/step-000030/adapters.safetensors",
        "/checkpoints/step-000030/optimizer.safetensors",
        "/rollouts.jsonl",
        "/tasks.json"}) {
    EXPECT_EQ(
        world.read(std::string("whole") + name), world.read(std::string("run") + name))
        << name;
  }
  auto rows = without_teacher(timeless(world.read("whole/metrics.jsonl")));
  EXPECT_EQ(rows, without_teacher(timeless(world.read("run/metrics.jsonl"))));
  ASSERT_EQ(rows.size(), size_t{kSteps});
  EXPECT_NE(rows.front()["kl_coef"], rows.back()["kl_coef"]);
  size_t again = server.count() - asked;
  EXPECT_LE(again, size_t{kSteps});  // the question at each start, and no answer twice
}

TEST(ResumedRun, TellsOfOtherDataAndMeasuresOtherTasksBefore) {
  TinyWorld world;
  auto task = [](const std::string& id, const std::string& prompt) {
    return R"({"id":")" + id + R"(","prompt":")" + prompt + R"(","entry_point":"f"})" +
           "\n";
  };
  world.write("held.jsonl", task("x", "f c"));
  world.write("other.jsonl", task("y", "f d"));
  ASSERT_EQ(world.run("train -c config.yaml --data.eval=held.jsonl").exit_code, 0);
  auto before = world.read("run/before.json");
  auto same = world.run("train --resume run --train.max_steps=3");
  ASSERT_EQ(same.exit_code, 0) << same.errors;
  EXPECT_FALSE(has(same.errors, "[resume]")) << same.errors;
  EXPECT_EQ(world.read("run/before.json"), before);

  world.write("tasks.jsonl", world.read("tasks.jsonl") + task("three", "f e"));
  auto run =
      world.run("train --resume run --train.max_steps=4 --data.eval=other.jsonl");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  for (const char* part :
       {"the lines of data.train are not those",
        "the tasks of data.eval are not those",
        "measured again"})
    EXPECT_TRUE(has(run.errors, part)) << part << run.errors;
  EXPECT_TRUE(has(world.read("run/report.json"), "\"y\""));
}

}  // namespace
}  // namespace pupil::testing
