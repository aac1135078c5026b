// What users get wrong in configs, tasks files, requests and on the command line: one
// clear line, exit code 1, or 2 for the command line, and no run begun.

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <tuple>

#include "app/tiny_world.h"
#include "config/load_config.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;

struct BadText {
  std::string name, text, says;
};

std::ostream& operator<<(std::ostream& out, const BadText& bad) {
  return out << bad.name;
}

std::string name_of(const ::testing::TestParamInfo<BadText>& info) {
  return info.param.name;
}

class BadConfigs : public ::testing::TestWithParam<BadText> {};

TEST_P(BadConfigs, NameTheLineAndTheKey) {
  TinyWorld world;
  world.write("config.yaml", world.read("config.yaml") + GetParam().text);
  for (std::string command : {"train -c config.yaml", "doctor -c config.yaml"}) {
    EXPECT_TRUE(
        failed(world.run(command), 1, "[config] config.yaml:" + GetParam().says))
        << command;
  }
  EXPECT_FALSE(fs::exists(world.at("run")));
}

// What `train` refuses at once, and nothing else is wrong.
TEST(Doctor, SeesSettingsThatDoNotFit) {
  TinyWorld world;
  const std::string doctor = "doctor -c config.yaml ";
  EXPECT_EQ(world.run(doctor).exit_code, 0);
  for (auto [setting, row, says] :
       {std::tuple{"--rollout.kv_bits=4", "model", "rollout.kv_bits: expected 0"},
        std::tuple{
            "--train.optim=sgd --train.adam_beta1=0.9",
            "settings",
            "train.adam_beta1"}}) {
    auto run = world.run(doctor + setting);
    EXPECT_TRUE(has(run.errors, std::string("cannot work here: ") + row)) << run.errors;
    EXPECT_TRUE(has(run.output, says)) << run.output;
  }
}

// Line 8 is the first below those of the tiny world.
INSTANTIATE_TEST_SUITE_P(
    All,
    BadConfigs,
    ::testing::Values(
        BadText{
            "section", "modle: {}\n", "8: no such key: 'modle'; did you mean model?"},
        BadText{
            "key",
            "sandbox:\n  cpu_s: 1\n  memory: 5\n",
            "10: no such key: 'sandbox.memory'; did you mean sandbox.memory_mb?"},
        BadText{"type", "seed: many\n", "8: seed: expected an integer"},
        BadText{
            "section_type",
            "sandbox: 3\n",
            "8: sandbox: expected a map of keys, got '3'"},
        BadText{
            "range",
            "teacher:\n  max_tokens: -1\n",
            "9: teacher.max_tokens: expected an integer at least 1, got '-1'"},
        BadText{
            "choice",
            "teacher: {provider: openia}\n",
            "8: teacher.provider: expected one of none, openai, anthropic, local, got "
            "'openia'"},
        BadText{"twice", "seed: 1\nseed: 2\n", "9: 'seed' is given twice"},
        BadText{
            "not_finite",
            "sandbox: {wall_s: .nan}\n",
            "8: sandbox.wall_s: expected a number"},
        BadText{"no_yaml", "model: [\n", "9: not YAML: "},
        BadText{"tabs", "model:\n\tadapter_path: x\n", "9: not YAML: "}),
    name_of);

class BadTasks : public ::testing::TestWithParam<BadText> {};

TEST_P(BadTasks, NameTheLine) {
  TinyWorld world;
  world.write("tasks.jsonl", GetParam().text);
  for (const char* key : {"train", "eval"}) {
    world.write("good.jsonl", "{\"id\":\"a\",\"prompt\":\"f\"}\n");
    std::string other = std::string(key) == "eval" ? " --data.train=good.jsonl" : "";
    auto run = world.run(
        "train -c config.yaml --data." + std::string(key) + "=tasks.jsonl" + other);
    EXPECT_TRUE(failed(run, 1, GetParam().says)) << key;
  }
  EXPECT_FALSE(fs::exists(world.at("run")));
}

INSTANTIATE_TEST_SUITE_P(
    All,
    BadTasks,
    ::testing::Values(
        BadText{"empty", "", "[tasks.jsonl] expected at least one task, got none"},
        BadText{"blank", "\n \n", "[tasks.jsonl] expected at least one task, got none"},
        BadText{
            "cut",
            "{\"prompt\":\"f\"}\n{\"prompt\":\"f",
            "[tasks.jsonl:2] not valid JSON at byte"},
        BadText{"list", "[1]\n", "[tasks.jsonl:1] expected a JSON object, got array"},
        BadText{
            "no_prompt", "\n{\"id\":\"x\"}\n", "[tasks.jsonl:2] `prompt` is missing"},
        BadText{
            "same_id",
            "{\"id\":\"x\",\"prompt\":\"f\"}\n{\"id\":\"x\",\"prompt\":\"g\"}\n",
            "[tasks.jsonl:2] the id 'x' is taken by line 1"},
        BadText{
            "not_utf8",
            "{\"prompt\":\"f\"}\n{\"prompt\":\"\xff\"}\n",
            "[tasks.jsonl:2] not valid UTF-8"},
        BadText{
            "tests_of_no_list",
            "{\"prompt\":\"f\",\"tests\":\"assert f()\"}\n",
            "[tasks.jsonl:1] `tests`: expected an array"},
        BadText{
            "misspelt",
            "{\"prompt\":\"f\",\"test_s\":[]}\n",
            "[tasks.jsonl:1] unknown key `test_s`, expected `tests`"},
        BadText{
            "long_prompt",
            "{\"id\":\"big\",\"prompt\":\"" + std::string(600, 'a') + "\"}\n",
            "task big: its prompt has "}),
    name_of);

TEST(MissingFiles, AreNamed) {
  TinyWorld world;
  const std::string train = "train -c config.yaml ";
  EXPECT_TRUE(failed(
      world.run("train -c nowhere.yaml"),
      1,
      "[config] 'nowhere.yaml': no such file; `pupil init`"));
  EXPECT_TRUE(failed(
      world.run(train + "--data.train=nowhere"), 1, "[nowhere] cannot be opened"));
  EXPECT_TRUE(failed(
      world.run(train + "--data.eval=nowhere"), 1, "[nowhere] cannot be opened"));
  EXPECT_TRUE(failed(
      world.run(train + "--data.train=model"),
      1,
      "[model] expected a JSON Lines file, got a folder"));
  EXPECT_TRUE(failed(
      world.run(train + "--hardware.mlx_model_path=nowhere"),
      1,
      "nowhere: no such directory"));
  EXPECT_TRUE(failed(
      world.run(train + "--model.adapter_path=nowhere"),
      1,
      "nowhere/adapter_config.json"));
  EXPECT_TRUE(failed(
      world.run("tokenize --model nowhere </dev/null"),
      1,
      "nowhere: no tokenizer.json"));
  EXPECT_FALSE(fs::exists(world.at("run")));
}

class BadCommandLines : public ::testing::TestWithParam<BadText> {};

TEST_P(BadCommandLines, AreExitCodeTwo) {
  TinyWorld world;
  EXPECT_TRUE(
      failed(world.run(GetParam().text), 2, "[command line] " + GetParam().says));
  EXPECT_FALSE(fs::exists(world.at("run")));
}

INSTANTIATE_TEST_SUITE_P(
    All,
    BadCommandLines,
    ::testing::Values(
        BadText{"nothing", "", "A subcommand is required; see `pupil --help`"},
        BadText{"command", "trian", "no such command: 'trian'; did you mean train?"},
        BadText{
            "flag",
            "tokenize --model model --dekode",
            "The following argument was not expected: --dekode; see `pupil tokenize "
            "--help`"},
        BadText{
            "no_model", "logprobs", "--model is required; see `pupil logprobs --help`"},
        BadText{
            "no_prompt", "generate --model model", "expected --prompt or --prompts"},
        BadText{
            "two_prompts",
            "generate --model model --prompt a --prompts b",
            "--prompt excludes --prompts"},
        BadText{
            "no_rows",
            "generate --model model --prompt a -n 0",
            "-n: expected an integer from 1 to 4096, got '0'"},
        BadText{
            "temperature",
            "generate --model model --prompt a --temperature nan",
            "--temperature: expected a number from 0 to 100, got 'nan'"},
        BadText{
            "seed",
            "generate --model model --prompt a --seed -1",
            "--seed: expected an integer at least 0, got '-1'"},
        BadText{
            "stop",
            "generate --model model --prompt a --stop ''",
            "--stop: expected text that is not empty"},
        BadText{"bits", "convert --from model --to out -q --q-bits 7", "--q-bits: "},
        BadText{
            "bits_of_what",
            "convert --from model --to out --q-bits 4",
            "--q-bits requires --quantize"},
        BadText{
            "dtype",
            "convert --from model --to out --dtype int8",
            "--dtype: int8 not in {float16,bfloat16,float32}"},
        BadText{
            "key",
            "train -c config.yaml --train.max_step=1",
            "'--train.max_step': no such key: 'train.max_step'; did you mean "
            "train.max_steps?"},
        BadText{
            "value",
            "train -c config.yaml --train.max_steps=x",
            "'--train.max_steps': expected an integer at least 0, got 'x'"},
        BadText{
            "no_value",
            "train -c config.yaml --seed",
            "'--seed': expected a value after it"},
        BadText{
            "no_key",
            "train -c config.yaml now",
            "expected --section.key=value, got 'now'"}),
    name_of);

class BadRequests : public ::testing::TestWithParam<BadText> {};

// The lines before the bad one are answered.
TEST_P(BadRequests, NameTheLine) {
  TinyWorld world;
  const std::string good =
      GetParam().name.starts_with("decode") ? "{\"ids\":[5]}" : "{\"text\":\"ab\"}";
  const bool is_prompt = GetParam().name.starts_with("prompt");
  std::string command = GetParam().name.substr(0, GetParam().name.find('_'));
  world.write(
      "in.jsonl",
      (is_prompt ? "{\"prompt\":\"ab\"}" : good) + "\n" + GetParam().text + "\n");
  if (command == "decode") command = "tokenize --decode";
  if (is_prompt) command = "generate --prompts in.jsonl --max-tokens 2";
  auto run = world.run(command + " --model model < in.jsonl");
  EXPECT_TRUE(failed(run, 1, GetParam().says));
  EXPECT_EQ(std::count(run.output.begin(), run.output.end(), '\n'), is_prompt ? 0 : 1);
}

INSTANTIATE_TEST_SUITE_P(
    All,
    BadRequests,
    ::testing::Values(
        BadText{
            "tokenize_cut", "{\"text\":", "[tokenize] line 2: request: not valid JSON"},
        BadText{
            "tokenize_number",
            "{\"text\":5}",
            "[tokenize] line 2: expected text under \"text\""},
        BadText{
            "tokenize_key",
            "{\"text\":\"a\",\"texts\":1}",
            "[tokenize] line 2: expected no key \"texts\""},
        BadText{
            "tokenize_role",
            "{\"messages\":[{\"content\":\"a\"}]}",
            "[tokenize] line 2: expected text under \"role\""},
        BadText{
            "decode_negative",
            "{\"ids\":[-1]}",
            "[tokenize] line 2: expected token ids from 0 to 47, got -1"},
        BadText{
            "decode_outside",
            "{\"ids\":[48]}",
            "[tokenize] line 2: expected token ids from 0 to 47, got 48"},
        BadText{
            "logprobs_outside",
            "{\"input_ids\":[48]}",
            "[logprobs] line 2: expected ids from 0 to 47, got 48"},
        BadText{
            "logprobs_both",
            "{\"input_ids\":[4],\"text\":\"a\"}",
            "[logprobs] line 2: expected {\"input_ids\""},
        BadText{
            "logprobs_long",
            "{\"text\":\"" + std::string(300, 'a') + "\"}",
            "[logprobs] line 2: 300 tokens exceed"},
        BadText{
            "prompts_both",
            "{\"prompt\":\"a\",\"input_ids\":[4]}",
            "[prompts] in.jsonl:2: expected one of"},
        BadText{
            "prompts_outside",
            "{\"input_ids\":[48]}",
            "token id 48 is outside the vocabulary of 48"},
        BadText{
            "prompts_long",
            "{\"prompt\":\"" + std::string(300, 'a') + "\"}",
            "exceed the model's 256 positions"}),
    name_of);

TEST(Prompts, WithATokenThatTheModelCannotReadAreNamed) {
  TinyWorld world;
  world.replace(
      "model/tokenizer_config.json",
      "{",
      R"({"added_tokens_decoder": {"48": {"content": "<new>", "special": true}},)");
  const std::string command =
      "generate --model model --raw --max-tokens 2 --prompts in.jsonl";
  world.write("in.jsonl", "{\"prompt\":\"ab\"}\n");
  EXPECT_EQ(world.run(command).exit_code, 0);
  world.write("in.jsonl", "{\"prompt\":\"ab\"}\n{\"prompt\":\"a<new>\"}\n");
  auto run = world.run(command);
  EXPECT_TRUE(failed(run, 1, "[prompts] "));
  EXPECT_TRUE(has(run.errors, "token '<new>', id 48, has no embedding"));
}

// A full disk behind stdout is told; a reader that left ends a filter quietly.
TEST(Output, ThatCannotBeWrittenIsAFailure) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  TinyWorld world;
  world.write("in.jsonl", "{\"text\":\"ab\"}\n");
  for (std::string command :
       {"tokenize --model model <in.jsonl",
        "logprobs --model model <in.jsonl",
        "generate --model model --prompt ab --json 2>.quiet",
        "init -",
        "init --markdown"}) {
    auto run = world.run(command + " >/dev/full");
    EXPECT_EQ(run.exit_code, 1) << command;
  }
}

TEST(Output, OfAFilterMayBeClosed) {
  TinyWorld world;
  std::string lines;
  for (int i = 0; i < 20000; ++i) lines += "{\"text\":\"ab\"}\n";
  world.write("in.jsonl", lines);
  auto run = world.run("tokenize --model model <in.jsonl | head -n 1");
  EXPECT_EQ(run.output, "{\"ids\":[5,6]}\n");
  EXPECT_EQ(run.errors, "");
}

TEST(Output, OfARunMayBeClosed) {
  TinyWorld world;
  auto run = world.run(
      "train -c config.yaml --train.max_steps=30 --train.save_steps=30 | head -n 1");
  EXPECT_EQ(run.output, "run directory: run\n");
  EXPECT_TRUE(run.errors.ends_with("pupil: [output] stdout could not be written\n"))
      << run.errors;
  auto rows = world.read("run/metrics.jsonl");
  EXPECT_EQ(std::count(rows.begin(), rows.end(), '\n'), 30);
}

TEST(Configs, ThatTheProjectShipsLoad) {
  TinyWorld world;
  EXPECT_EQ(world.run("init - > x.yaml").exit_code, 0);
  EXPECT_EQ(
      dump_yaml(load_config(world.at("x.yaml").string(), {})), dump_yaml(Config()));
  for (const auto& entry : fs::directory_iterator(PUPIL_SOURCE_DIR "/configs")) {
    EXPECT_NO_THROW(load_config(entry.path().string(), {})) << entry.path();
  }
}

TEST(Configs, AreDocumentedAsTheyAre) {
  EXPECT_EQ(config_markdown(), read_text(PUPIL_SOURCE_DIR "/docs/config.md"))
      << "`make docs` writes it anew";
}

}  // namespace
}  // namespace pupil::testing
