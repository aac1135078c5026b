// rollout.backend: worker. Where samples are made changes nothing: the run in one
// process, the one in two, and those whose processes were killed are the same bits.

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <random>
#include <thread>

#include "app/run_rows.h"
#include "app/tiny_world.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWorker = " --rollout.backend=worker ";
// Evaluations, replaced groups, an average beside the weights, stop strings.
constexpr const char* kTrain =
    "train -c config.yaml --data.eval=tasks.jsonl --train.eval_steps=2 "
    "--train.eval_samples=4 --train.ema_decay=0.9 --rollout.dynamic_sampling=1 "
    "--rollout.max_completion_length=6 --rollout.temperature=0.9 --rollout.top_p=0.95 "
    "--rollout.min_p=0.01 '--rollout.stop=[\"va\"]' "
    "--rollout.presence_penalty=0.1 --lora.scale=3.3 ";

/// Processes `pupil worker` of this world's model.
std::vector<pid_t> workers_of(const TinyWorld& world) {
  auto model = fs::canonical(world.at("model")).string();
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    auto name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != name.npos) continue;
    std::ifstream in(entry.path() / "cmdline", std::ios::binary);
    std::string line((std::istreambuf_iterator<char>(in)), {});
    bool is_worker = line.find(std::string("worker\0generate\0", 16)) != line.npos;
    if (is_worker && line.find(model) != line.npos) found.push_back(std::stoi(name));
  }
  return found;
}

bool ends_within(const TinyWorld& world, double seconds) {
  auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!workers_of(world).empty()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

std::vector<std::string> arguments(const std::string& steps) {
  return {
      "train",
      "-c",
      "config.yaml",
      "--train.max_steps=" + steps,
      "--rollout.backend=worker",
      "--logging.run_dir=worker"};
}

void expect_same_evaluations(
    const TinyWorld& world, const std::string& a, const std::string& b) {
  EXPECT_EQ(world.read(a + "/before.json"), world.read(b + "/before.json"));
  auto of = [&](const std::string& run) {
    auto report = nlohmann::json::parse(world.read(run + "/report.json"));
    report.erase("seconds");
    report["best"].erase("checkpoint");
    return report;
  };
  EXPECT_EQ(of(a), of(b));
}

TEST(RolloutWorker, ARunWithAWorkerIsTheRunWithout) {
  TinyWorld world;
  const std::string steps =
      "--train.max_steps=5 --rollout.kv_bits=8 --rollout.prefill_chunk=3 ";
  auto alone = world.run(kTrain + steps + "--logging.run_dir=alone");
  ASSERT_EQ(alone.exit_code, 0) << alone.errors;
  auto worker = world.run(kTrain + steps + kWorker + "--logging.run_dir=worker");
  ASSERT_EQ(worker.exit_code, 0) << worker.errors;
  EXPECT_TRUE(has(worker.output, "held by each of two processes")) << worker.output;
  EXPECT_TRUE(has(worker.output, "worker: 1 start (")) << worker.output;
  EXPECT_EQ(worker.errors, alone.errors);
  expect_same_run(world, "alone", "worker");
  expect_same_evaluations(world, "alone", "worker");
  EXPECT_FALSE(fs::exists(world.at("worker/worker")));
  EXPECT_TRUE(workers_of(world).empty());
}

TEST(RolloutWorker, IsTheSameWithWeightsInPlaceOfAnAdapter) {
  TinyWorld world;
  for (const char* kind : {"full", "dora"}) {
    const std::string run = std::string("train -c config.yaml --lora.fine_tune_type=") +
                            kind + " --logging.run_dir=" + kind;
    auto alone = world.run(run);
    ASSERT_EQ(alone.exit_code, 0) << alone.errors;
    auto worker = world.run(run + "_worker" + kWorker);
    ASSERT_EQ(worker.exit_code, 0) << worker.errors;
    expect_same_run(world, kind, std::string(kind) + "_worker");
  }
}

TEST(RolloutWorker, ResumedAtEveryStepIsTheRunWithout) {
  TinyWorld world;
  auto alone = world.run(std::string(kTrain) + "--train.max_steps=4");
  ASSERT_EQ(alone.exit_code, 0) << alone.errors;
  std::string begin =
      std::string(kTrain) + kWorker + "--logging.run_dir=worker --train.max_steps=1";
  ASSERT_EQ(world.run(begin).exit_code, 0);
  for (int step = 2; step <= 4; ++step) {
    auto next =
        world.run("train --resume worker --train.max_steps=" + std::to_string(step));
    ASSERT_EQ(next.exit_code, 0) << next.errors;
  }
  for (const char* name : {"/adapters/adapters.safetensors", "/rollouts.jsonl"})
    EXPECT_EQ(
        world.read(std::string("run") + name),
        world.read(std::string("worker") + name));
}

TEST(RolloutWorker, AKilledWorkerIsReplacedAndTheRunIsTheSame) {
  TinyWorld world;
  auto alone =
      world.run("train -c config.yaml --train.max_steps=12 --logging.run_dir=alone");
  ASSERT_EQ(alone.exit_code, 0) << alone.errors;
  RunningPupil run(world.at(""), arguments("12"));
  std::mt19937 random(7);
  int kills = 0;
  for (const char* step : {"step 2/", "step 5/", "step 8/"}) {
    ASSERT_TRUE(run.wait_for(step)) << run.finish().output;
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 5000));
    for (pid_t worker : workers_of(world)) kills += ::kill(worker, SIGKILL) == 0;
  }
  ASSERT_EQ(run.finish().exit_code, 0) << run.finish().output;
  EXPECT_EQ(kills, 3);
  const auto& output = run.finish().output;
  EXPECT_TRUE(has(output, "was ended by Killed; another is started")) << output;
  expect_same_run(world, "alone", "worker");
}

TEST(RolloutWorker, DiesWithTheTrainer) {
  TinyWorld world;
  RunningPupil run(world.at(""), arguments("1000000"));
  ASSERT_TRUE(run.wait_for("step 2/")) << run.finish().output;
  EXPECT_EQ(workers_of(world).size(), 1u);
  run.signal(SIGKILL);
  run.finish();
  EXPECT_TRUE(ends_within(world, 10));
}

TEST(RolloutWorker, AChangedModelIsRefused) {
  TinyWorld world;
  RunningPupil run(world.at(""), arguments("1000000"));
  ASSERT_TRUE(run.wait_for("step 2/")) << run.finish().output;
  auto config = world.read("model/config.json");
  world.write("model/config.json", config + "\n");
  for (pid_t worker : workers_of(world)) ::kill(worker, SIGKILL);
  EXPECT_EQ(run.finish().exit_code, 1);
  const auto& output = run.finish().output;
  EXPECT_TRUE(has(output, "the worker's model_sha256 of model is not that of this run"))
      << output;
}

TEST(RolloutWorker, ItsTroubleIsToldInOneLine) {
  TinyWorld world;
  EXPECT_TRUE(failed(
      world.run(std::string(kTrain) + kWorker + "--rollout.max_completion_length=300"),
      1,
      "exceed the model's 256 positions"));
  EXPECT_TRUE(failed(
      world.run("train -c config.yaml --rollout.backend=process"), 2, "in_process"));
}

}  // namespace
}  // namespace pupil::testing
