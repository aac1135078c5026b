// `pupil bench` on models that take milliseconds.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "app/tiny_world.h"

namespace pupil::testing {
namespace {

using nlohmann::json;

void expect_positive(const json& report, const std::string& pointer) {
  const json::json_pointer at(pointer);
  ASSERT_TRUE(report.contains(at)) << pointer;
  EXPECT_GT(report.at(at).get<double>(), 0) << pointer;
}

TEST(Bench, ReportsEveryFigure) {
  TinyWorld world;
  auto run = world.run("bench --model model --runs 1 --threads 1 --json");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  auto report = json::parse(run.output);
  EXPECT_EQ(report["model"], "model");
  EXPECT_EQ(report["threads"], 1);
  for (std::string pointer :
       {"/prefill_tok_s",
        "/decode_tok_s/1",
        "/decode_tok_s/8",
        "/grpo_step/seconds",
        "/grpo_step/generation_s",
        "/grpo_step/update_s",
        "/grpo_step/peak_mb",
        "/grpo_step/planned_mb",
        "/sft_step/seconds",
        "/sft_step/peak_mb",
        "/start_to_first_token_s",
        "/start_to_first_step_s",
        "/contexts/0/prefill_tok_s",
        "/contexts/0/decode_tok_s",
        "/parts/decode_8/SampleTokens",
        "/parts/grpo_step/AdaptedProduct"}) {
    expect_positive(report, pointer);
  }
  for (const auto& [work, shares] : report["parts"].items()) {
    double sum = 0;
    for (const auto& [name, share] : shares.items()) sum += share.get<double>();
    EXPECT_NEAR(sum, 1, 0.02) << work;
  }
}

TEST(Bench, PrintsATableForPeople) {
  TinyWorld world;
  auto run = world.run("bench --model model --runs 1");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_NE(run.output.find("decode, 8 rows"), std::string::npos);
  EXPECT_NE(run.output.find("outside kernels"), std::string::npos);
  EXPECT_NE(run.output.find("prefill tok/s"), std::string::npos);
}

TEST(Bench, TimesAPolicyStepOfAnySize) {
  TinyWorld world;
  auto run = world.run(
      "bench --model model --runs 1 --only-step --rows 3 --prompt-tokens 20 "
      "--new-tokens 5 --unshared --gradient-checkpointing on --json");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  auto report = json::parse(run.output);
  EXPECT_FALSE(report.contains("prefill_tok_s"));
  EXPECT_FALSE(report.contains("contexts"));
  const auto& step = report.at("grpo_step");
  EXPECT_EQ(step.at("rows"), 3);
  EXPECT_EQ(step.at("prompt_tokens"), 20);
  EXPECT_EQ(step.at("new_tokens"), 5);
  EXPECT_EQ(step.at("unshared"), true);
  EXPECT_EQ(step.at("recomputes"), true);
  expect_positive(step, "/planned_mb");
}

TEST(Bench, TimesContextsWhereTheModelAllows) {
  TinyWorld world;
  std::string command = "bench --model model --runs 1 --only-step --contexts 16,250 ";
  auto run = world.run(command + "--json");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  auto report = json::parse(run.output);
  const auto& rows = report.at("contexts");
  ASSERT_EQ(rows.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(rows[i].at("context"), i < 2 ? 16 : 250);
    EXPECT_EQ(rows[i].at("batch"), i % 2 ? 8 : 1);
    for (const char* figure : {"prefill_tok_s", "decode_tok_s"}) {
      if (i < 2) {
        EXPECT_GT(rows[i].at(figure).get<double>(), 0);
      } else {
        EXPECT_TRUE(rows[i].at(figure).is_null()) << "the model has 256 positions";
      }
    }
  }
  for (const char* setting : {"threads", "cpu", "device", "pupil", "mlx", "runs"})
    EXPECT_TRUE(report.contains(setting)) << setting;
  auto table = world.run(command);
  ASSERT_EQ(table.exit_code, 0) << table.errors;
  EXPECT_NE(table.output.find("prefill tok/s"), std::string::npos) << table.output;
  EXPECT_TRUE(failed(world.run("bench --model model --contexts 0"), 2, "--contexts"));
}

TEST(Bench, TimesARolloutOfManyPrompts) {
  TinyWorld world;
  std::string command =
      "bench --model model --rollout --prompts 6 --rows 4 --prompt-tokens 20 "
      "--limits 3,30 --max-rows 8 --prefill-chunk 16 --long-prompt 100 ";
  auto run = world.run(command + "--json");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  auto rollout = json::parse(run.output).at("rollout");
  EXPECT_EQ(rollout.at("prompts"), 6);
  EXPECT_EQ(rollout.at("ends"), "drawn");
  EXPECT_GE(rollout.at("lengths").at("least"), 3);
  EXPECT_LE(rollout.at("lengths").at("most"), 30);
  EXPECT_EQ(
      rollout.at("new_tokens"),
      json::parse(world.run(command + "--json").output).at("rollout").at("new_tokens"));
  for (const char* figure : {"tok_s", "crowded_occupancy", "cache_mb", "longest_gap_s"})
    EXPECT_GT(rollout.at(figure).get<double>(), 0) << figure;
  EXPECT_GE(rollout.at("copied_mb"), rollout.at("cache_mb"));  // both rounded
  EXPECT_LT(rollout.at("share_of_copied"), 1);
  EXPECT_GT(rollout.at("share_of_copied"), 0);
  double steps = rollout.at("steps"), share = rollout.at("occupancy");
  EXPECT_NEAR(
      share * steps * 8, rollout.at("new_tokens").get<double>(), 0.01 * steps * 8);
  auto table = world.run(command);
  EXPECT_NE(table.output.find("while prompts waited"), std::string::npos)
      << table.errors;
}

TEST(Bench, RefusesARolloutThatDoesNotFit) {
  TinyWorld world;
  std::string command = "bench --model model --rollout ";
  EXPECT_TRUE(failed(world.run(command + "--limits 9,3"), 2, "--limits"));
  EXPECT_TRUE(failed(world.run(command + "--limits 16,300"), 2, "positions"));
  EXPECT_TRUE(failed(world.run(command + "--tasks nowhere.jsonl"), 1, "nowhere"));
}

TEST(Bench, CommandsTakeThreadsAlike) {
  TinyWorld world;
  world.write("ids.jsonl", "{\"input_ids\":[5,9,33]}\n");
  std::pair<std::string, std::string> commands[] = {
      {"generate --model model --prompt a --max-tokens 2", ""},
      {"logprobs --model model", " < ids.jsonl"},
      {"eval --model model --tasks tasks.jsonl --max-tokens 2", ""},
      {"bench --model model --runs 1 --only-step", ""},
      {"worker generate --model model", " < /dev/null"}};
  for (const auto& [command, input] : commands) {
    auto run = world.run(command + " --threads 3" + input);
    EXPECT_EQ(run.exit_code, 0) << command << run.errors;
    for (const char* wrong : {"-1", "2000", "many"})
      EXPECT_TRUE(
          failed(world.run(command + " --threads=" + wrong + input), 2, "threads"))
          << command;
  }
}

TEST(Bench, WantsOneModel) {
  TinyWorld world;
  EXPECT_TRUE(failed(world.run("bench"), 2, "expected either --model or --shape"));
  EXPECT_TRUE(failed(world.run("bench --shape huge"), 2, "huge"));
  EXPECT_TRUE(failed(world.run("bench --model nowhere"), 1, "nowhere"));
}

}  // namespace
}  // namespace pupil::testing
