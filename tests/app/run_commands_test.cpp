// `pupil runs`, `pupil diff`, `pupil train --from-adapter`, early stopping.

#include <gtest/gtest.h>

#include <csignal>

#include "app/run_rows.h"
#include "app/tiny_world.h"
#include "models/adapters.h"
#include "support/tiny_model.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json runs_json(const TinyWorld& world) {
  auto run = world.run("runs --json .");
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  json by_name;
  for (const auto& row : json::parse(run.output)) by_name[row.at("run")] = row;
  return by_name;
}

TEST(Runs, TellsHowEachRunFares) {
  TinyWorld world;
  std::string train = "train -c config.yaml --logging.run_dir=";
  ASSERT_EQ(world.run(train + "done").exit_code, 0);
  EXPECT_EQ(
      world.run(train + "broken '--reward.functions=[{name: x, command: [/none]}]'")
          .exit_code,
      1);
  for (int number : {SIGKILL, SIGINT}) {
    std::string name = number == SIGKILL ? "killed" : "stopped";
    RunningPupil run(
        world.at(""),
        {"train",
         "-c",
         "config.yaml",
         "--train.max_steps=100000",
         "--logging.run_dir=" + name});
    ASSERT_TRUE(run.wait_for("step 3/"));
    EXPECT_EQ(runs_json(world).at(name).at("state"), "running");
    run.signal(number);
    run.finish();
  }
  auto runs = runs_json(world);
  EXPECT_EQ(runs.at("done").at("state"), "finished");
  EXPECT_EQ(runs.at("done").at("step"), 2);
  EXPECT_EQ(runs.at("done").at("max_steps"), 2);
  EXPECT_EQ(
      runs.at("done").at("reward"),
      rows_of(world.read("done/metrics.jsonl")).back().at("reward"));
  EXPECT_EQ(runs.at("killed").at("state"), "interrupted");
  EXPECT_GE(runs.at("killed").at("step"), 3);
  EXPECT_EQ(runs.at("stopped").at("state"), "interrupted");
  EXPECT_TRUE(has(runs.at("stopped").at("message"), "all saved"));
  auto table = world.run("runs .");
  EXPECT_EQ(table.exit_code, 0);
  EXPECT_TRUE(has(table.output, "best evaluation"));
  EXPECT_TRUE(has(table.output, "interrupted"));
  EXPECT_EQ(world.run("runs model").output, "no runs in model\n");
  EXPECT_TRUE(failed(world.run("runs"), 1, "there is no folder runs"));
}

TEST(Runs, AFailedRunSaysWhy) {
  TinyWorld world;
  auto run = world.run(
      "train -c config.yaml --data.eval=tasks.jsonl --train.eval_steps=1 "
      "--train.metric_for_best_model=pass@9");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_TRUE(has(run.errors, "an evaluation has no 'eval_pass@9'; it has"));
  auto failed_run = runs_json(world).at("run");
  EXPECT_EQ(failed_run.at("state"), "failed");
  EXPECT_TRUE(has(failed_run.at("message"), "no 'eval_pass@9'"));
  EXPECT_TRUE(has(world.run("runs .").output, "run: [train] train.metric_for_best"));
}

TEST(Diff, TellsSettingsThatDifferAndWhatCameOfIt) {
  TinyWorld world;
  std::string train = "train -c config.yaml --logging.run_dir=";
  ASSERT_EQ(world.run(train + "a").exit_code, 0);
  ASSERT_EQ(
      world.run(train + "b --train.learning_rate=0.02 --rollout.top_k=5").exit_code, 0);
  auto run = world.run("diff --json a b");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  auto diff = json::parse(run.output);
  EXPECT_EQ(
      diff.at("config"),
      (json{{"rollout.top_k", {"0", "5"}}, {"train.learning_rate", {"0.01", "0.02"}}}));
  double sum = 0;
  for (const auto& row : rows_of(world.read("b/metrics.jsonl")))
    sum += row.at("reward").get<double>();
  EXPECT_NEAR(diff.at("metrics").at("reward").at(1).get<double>(), sum / 2, 1e-9);
  auto table = world.run("diff a b");
  EXPECT_TRUE(has(table.output, "train.learning_rate"));
  EXPECT_TRUE(has(table.output, "last 10 steps"));
  auto same = world.run("diff a a");
  EXPECT_TRUE(has(same.output, "the same config\n"));
  EXPECT_TRUE(failed(world.run("diff a model"), 1, "model holds no run"));
}

// Log-probabilities of the student in `adapter`.
json logprobs(const TinyWorld& world, const std::string& adapter) {
  world.write("ids.jsonl", "{\"input_ids\":[5,9,33,12,40,7]}\n");
  auto run = world.run("logprobs --model model --adapter " + adapter + " < ids.jsonl");
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  return json::parse(run.output).at("logprobs");
}

// The adapter of a run in PEFT's layout.
void write_as_peft(const TinyWorld& world, const std::string& from) {
  auto [tensors, metadata] =
      mx::load_safetensors(world.at(from + "/adapters.safetensors").string());
  std::unordered_map<std::string, mx::array> peft;
  for (const auto& [name, tensor] : tensors) {
    auto end = name.rfind(".lora_");
    bool is_a = name.ends_with("a");
    peft.emplace(
        "base_model.model." + name.substr(0, end) +
            (is_a ? ".lora_A.weight" : ".lora_B.weight"),
        mx::contiguous(mx::transpose(tensor)));
  }
  fs::create_directories(world.at("peft"));
  mx::save_safetensors(world.at("peft/adapter_model").string(), peft);
  auto scale = json::parse(world.read(from + "/adapter_config.json"))
                   .at("lora_parameters")
                   .at("scale")
                   .get<double>();
  json config = {
      {"peft_type", "LORA"},
      {"r", 2},
      {"lora_alpha", 2 * scale},
      {"target_modules", "all-linear"}};
  world.write("peft/adapter_config.json", config.dump());
}

TEST(FromAdapter, StartsFromMlxLmsOrPeftsAdapter) {
  TinyWorld world;
  ASSERT_EQ(world.run("train -c config.yaml --train.max_steps=20").exit_code, 0);
  write_as_peft(world, "run/adapters");
  auto learned = logprobs(world, "run/adapters");
  for (std::string from : {"run/adapters", "peft"}) {
    fs::remove_all(world.at("next"));
    auto next = world.run(
        "train -c config.yaml --train.learning_rate=0 --logging.run_dir=next "
        "--from-adapter " +
        from);
    ASSERT_EQ(next.exit_code, 0) << next.errors;
    EXPECT_EQ(logprobs(world, "next/adapters"), learned) << from;
  }
  auto both = world.run("train --resume run --from-adapter peft");
  EXPECT_EQ(both.exit_code, 2) << both.errors;
  EXPECT_TRUE(failed(
      world.run("train -c config.yaml --logging.run_dir=x --from-adapter model"),
      1,
      "model/adapter_config.json"));
}

TEST(EarlyStopping, NeedsEvaluations) {
  TinyWorld world;
  EXPECT_TRUE(failed(
      world.run("train -c config.yaml --train.early_stopping_patience=2"),
      1,
      "set train.eval_steps and data.eval"));
}

TEST(EarlyStopping, EndsARunThatDoesNotLearnAndNamesTheBest) {
  TinyWorld world;
  auto run = world.run(
      "train -c config.yaml --data.eval=tasks.jsonl --train.learning_rate=0 "
      "--train.max_steps=50 --train.eval_steps=2 --train.early_stopping_patience=3");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_TRUE(has(run.output, "stopped early: eval_reward was not better"));
  EXPECT_TRUE(has(run.output, "best: step 2, eval_reward "));
  auto best = json::parse(world.read("run/report.json")).at("best");
  EXPECT_EQ(best.at("step"), 2);
  EXPECT_TRUE(fs::exists(world.at(best.at("checkpoint")) / "adapters.safetensors"));
  auto runs = runs_json(world);
  EXPECT_EQ(runs.at("run").at("step"), 8);
  EXPECT_EQ(runs.at("run").at("state"), "finished");
  EXPECT_EQ(runs.at("run").at("best_step"), 2);
}

TEST(RunDirectory, OfAnotherModelIsNotResumed) {
  TinyWorld world;
  ASSERT_EQ(world.run("train -c config.yaml").exit_code, 0);
  auto config = json::parse(world.read("model/config.json"));
  config["rope_theta"] = 20000.0;
  world.write("model/config.json", config.dump());
  EXPECT_TRUE(failed(
      world.run("train --resume run --train.max_steps=4"),
      1,
      "the model's files are not those that this run was trained with"));
}

TEST(RunDirectory, ACheckpointThatChangedIsPassedOverLoudly) {
  TinyWorld world;
  for (const char* name :
       {"adapters.safetensors",
        "adapter_config.json",
        "optimizer.safetensors",
        "state.json",
        "manifest.json"}) {
    fs::remove_all(world.at("run"));
    ASSERT_EQ(world.run("train -c config.yaml").exit_code, 0);
    auto path = std::string("run/checkpoints/step-000002/") + name;
    auto bytes = world.read(path);
    bytes[bytes.size() / 2] ^= 4;
    world.write(path, bytes);
    auto resumed = world.run("train --resume run --train.max_steps=4");
    EXPECT_EQ(resumed.exit_code, 0) << resumed.errors;
    EXPECT_TRUE(has(resumed.output, "resumed at step 1")) << name;
    EXPECT_TRUE(has(resumed.errors, "step-000002 cannot be used: ")) << name;
  }
}

}  // namespace
}  // namespace pupil::testing
