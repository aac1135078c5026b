// Whole runs through the executable: killed, interrupted, resumed, and used afterwards.

#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/run_rows.h"
#include "app/tiny_world.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kSteps = "--train.max_steps=60";

// 60 steps in `folder` without an interruption.
void run_through(const TinyWorld& world, const std::string& folder) {
  auto run = world.run(
      std::string("train -c config.yaml ") + kSteps + " --logging.run_dir=" + folder);
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  std::istringstream errors(run.errors);
  for (std::string line; std::getline(errors, line);) {
    EXPECT_TRUE(line.starts_with("pupil: warning: [advice] ")) << line;
  }
}

TEST(TinyRun, KilledAtAnyTimeAndResumedEqualsUninterrupted) {
  TinyWorld world;
  run_through(world, "whole");
  std::vector<std::string> arguments = {
      "train", "-c", "config.yaml", kSteps, "--train.save_steps=3"};
  for (const char* moment : {"run directory", "step 1/", "step 14/", "step 31/"}) {
    RunningPupil run(world.at(""), arguments);
    ASSERT_TRUE(run.wait_for(moment)) << run.finish().output;
    run.signal(SIGKILL);
    ASSERT_EQ(run.finish().signal, SIGKILL) << run.finish().output;
    if (arguments.back() != "--resume") arguments.push_back("--resume");
  }
  auto rest = world.run("train --resume run");
  EXPECT_EQ(rest.exit_code, 0) << rest.errors;
  EXPECT_TRUE(has(rest.output, "resumed at step "));
  expect_same_run(world, "whole", "run");
}

TEST(TinyRun, AnInterruptFinishesTheStepSavesAndExitsWithThree) {
  TinyWorld world;
  run_through(world, "whole");
  for (int number : {SIGINT, SIGTERM}) {
    bool first = number == SIGINT;
    RunningPupil run(
        world.at(""),
        {"train",
         first ? "-c" : "--resume",
         first ? "config.yaml" : "run",
         kSteps,
         "--train.save_steps=1000"});
    ASSERT_TRUE(run.wait_for(first ? "step 3/" : "step 20/"));
    run.signal(number);
    EXPECT_EQ(run.finish().exit_code, 3) << run.finish().output;
    EXPECT_TRUE(has(run.finish().output, "all saved; go on with --resume run\n"));
    auto saved = names_in(world.at("run/checkpoints"));
    auto step = std::to_string(rows_of(world.read("run/metrics.jsonl")).size());
    EXPECT_TRUE(saved.back().ends_with(step)) << saved.back() << ", last step " << step;
  }
  EXPECT_EQ(world.run(std::string("train --resume run ") + kSteps).exit_code, 0);
  expect_same_run(world, "whole", "run");
}

std::vector<float> logprobs(const TinyWorld& world, const std::string& adapter) {
  world.write("ids.jsonl", "{\"input_ids\":[5,9,33,12,40,7]}\n");
  auto run = world.run("logprobs --model model " + adapter + " < ids.jsonl");
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  return json::parse(run.output).at("logprobs");
}

TEST(TinyRun, AnAdapterChangesTheModelOnlyIfItLearned) {
  TinyWorld world;
  ASSERT_EQ(
      world.run("train -c config.yaml --train.learning_rate=0 --logging.run_dir=fresh")
          .exit_code,
      0);
  ASSERT_EQ(world.run("train -c config.yaml --train.max_steps=20").exit_code, 0);
  auto plain = logprobs(world, "");
  ASSERT_EQ(plain.size(), 5u);
  EXPECT_EQ(logprobs(world, "--adapter fresh/adapters"), plain);
  EXPECT_NE(logprobs(world, "--adapter run/adapters"), plain);
}

// What is trained reaches `pupil logprobs`, its exported average too.
TEST(TinyRun, EveryKindOfTrainingReachesOtherCommands) {
  TinyWorld world;
  auto plain = logprobs(world, "");
  for (const char* kind :
       {"--lora.fine_tune_type=dora --lora.use_rslora=true",
        "--lora.fine_tune_type=full --lora.keys=all --train.optim=muon",
        "--lora.fine_tune_type=dora --train.optim=adamw_8bit --train.ema_decay=0.5"}) {
    auto run =
        world.run(std::string("train -c config.yaml --train.max_steps=20 ") + kind);
    ASSERT_EQ(run.exit_code, 0) << run.errors;
    EXPECT_NE(logprobs(world, "--adapter run/adapters"), plain) << kind;
    EXPECT_EQ(world.run("train --resume run").exit_code, 0);  // it is done
    std::filesystem::remove_all(world.at("run"));
  }
  EXPECT_EQ(logprobs(world, ""), plain);
}

std::string default_gguf() {
  return PUPIL_SOURCE_DIR "/models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
}

class DefaultStudent : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(default_gguf())) {
      GTEST_SKIP() << "no " << default_gguf() << "; `make demo` fetches it";
    }
    auto run = world_.run("convert --from '" + default_gguf() + "' --to student");
    ASSERT_EQ(run.exit_code, 0) << run.errors;
    EXPECT_EQ(run.errors, "");  // a short job shows no progress in a pipe
    world_.write(
        "student.yaml",
        "hardware: {mlx_model_path: student}\n"
        "data: {train: tasks.jsonl, shuffle: false}\n"
        "rollout: {num_generations: 4, max_completion_length: 24}\n"
        "train: {max_steps: 2, prompts_per_step: 1, learning_rate: 0.001, save_steps: "
        "1}\n"
        "lora: {rank: 4}\n"
        "logging: {tensorboard: false}\n");
    auto tasks = read_text(PUPIL_SOURCE_DIR "/data/tasks/train.jsonl");
    size_t second = tasks.find('\n') + 1;
    world_.write("tasks.jsonl", tasks.substr(0, tasks.find('\n', second) + 1));
  }

  std::vector<json> generate(const std::string& arguments) {
    auto run = world_.run("generate --model student --json " + arguments);
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    EXPECT_TRUE(has(run.errors, "tok/s")) << run.errors;
    return rows_of(run.output);
  }

  TinyWorld world_;
};

TEST_F(DefaultStudent, TrainsIsKilledResumesAndAnswersWithItsAdapter) {
  auto whole = world_.run("train -c student.yaml --logging.run_dir=whole");
  ASSERT_EQ(whole.exit_code, 0) << whole.errors;
  bool learned = false;
  for (const auto& row : rows_of(world_.read("whole/metrics.jsonl"))) {
    learned |= row.at("grad_norm") > 0;
    EXPECT_EQ(row.at("sampling/sampling_logp_difference/max"), 0);
  }
  ASSERT_TRUE(learned);

  RunningPupil run(
      world_.at(""), {"train", "-c", "student.yaml", "--logging.run_dir=run"});
  ASSERT_TRUE(run.wait_for("step 1/2"));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // into the next step
  run.signal(SIGKILL);
  ASSERT_EQ(run.finish().signal, SIGKILL);
  ASSERT_EQ(world_.run("train --resume run").exit_code, 0);
  expect_same_run(world_, "whole", "run");

  const std::string ask = "--prompt 'Write a function that adds.' --max-tokens 8";
  auto before = generate(ask), after = generate(ask + " --adapter run/adapters");
  EXPECT_NE(before[0].at("logprobs"), after[0].at("logprobs"));
}

// ids are the completion only, with the sampled EOS; the text is without it.
TEST_F(DefaultStudent, GeneratesCompletionsAsDescribed) {
  world_.write(
      "prompts.jsonl",
      "{\"prompt\":\"2+2? Answer with the number only.\",\"id\":\"sum\"}\n"
      "{\"messages\":[{\"role\":\"user\",\"content\":\"Say hi.\"}]}\n"
      "{\"input_ids\":[504,2365,6354],\"id\":7}\n");
  auto rows = generate("--prompts prompts.jsonl -n 2 --max-tokens 12 --temperature 1");
  ASSERT_EQ(rows.size(), 6u);
  const char* ids[] = {"sum", "1", "7"};
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto& row = rows[i];
    EXPECT_EQ(row.at("id"), ids[i / 2]);
    EXPECT_EQ(row.at("row"), i % 2);
    EXPECT_EQ(row.at("ids").size(), row.at("logprobs").size());
    bool ended = row.at("ids").back() == 2;  // <|im_end|>
    EXPECT_EQ(row.at("finish_reason"), ended ? "stop" : "length");
    EXPECT_EQ(row.at("ids").size() < 12, ended);
    EXPECT_EQ(row.at("text").get<std::string>().find("<|im_end|>"), std::string::npos);
  }
  auto again = generate("--prompts prompts.jsonl -n 2 --max-tokens 12 --temperature 1");
  EXPECT_EQ(rows, again);
}

#if !defined(__SANITIZE_ADDRESS__)
// Weights, keys and values of float32, and 64 MB for all else.
TEST_F(DefaultStudent, GeneratesInLittleMemory) {
  constexpr double kRows = 4, kTokens = 96, kPrompt = 40, kMegabyte = 1e6;
  auto run = world_.run(
      "generate --model student --prompt 'Count up to 500.' -n 4 --max-tokens 96");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  auto at = run.errors.find("peak memory ");
  ASSERT_NE(at, std::string::npos) << run.errors;
  double peak = std::stod(run.errors.substr(at + 12));
  double weights =
      static_cast<double>(fs::file_size(world_.at("student/model.safetensors")));
  double caches = (kRows * kTokens + kPrompt) * 30 * 2 * 3 * 64 * 4;
  EXPECT_LT(peak, (weights + caches) / kMegabyte + 64);
}
#endif

// Greedy sampling reports log-probabilities at temperature 1.
TEST_F(DefaultStudent, SamplesWithTheLogprobsThatItScores) {
  std::vector<int> ids = {504, 2365, 6354};
  world_.write("prompts.jsonl", json{{"input_ids", ids}}.dump() + "\n");
  auto row = generate("--prompts prompts.jsonl --max-tokens 12").at(0);
  for (int id : row.at("ids")) ids.push_back(id);
  world_.write("ids.jsonl", json{{"input_ids", ids}}.dump() + "\n");
  auto scored = world_.run("logprobs --model student < ids.jsonl");
  ASSERT_EQ(scored.exit_code, 0) << scored.errors;
  std::vector<float> all = json::parse(scored.output).at("logprobs");
  std::vector<float> sampled = row.at("logprobs");
  EXPECT_EQ(std::vector<float>(all.begin() + 2, all.end()), sampled);
  double sum = 0;
  for (float logprob : all) sum -= logprob;
  double expected = std::exp(sum / static_cast<double>(all.size()));
  EXPECT_NEAR(json::parse(scored.output).at("perplexity"), expected, 1e-6 * expected);
}

}  // namespace
}  // namespace pupil::testing
