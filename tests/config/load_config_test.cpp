#include "config/load_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <vector>

#include "base/error.h"

namespace pupil {
namespace {

/// A config file that lives as long as the test.
class LoadConfig : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    path_ = testing::TempDir() + "load_config_" + info->name() + ".yaml";
  }
  void TearDown() override { std::filesystem::remove(path_); }

  Config load(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
    std::ofstream(path_) << yaml;
    return load_config(path_, overrides);
  }

  /// The error of loading `yaml`, without the file's name.
  std::string error_of(const std::string& yaml) {
    try {
      load(yaml);
    } catch (const std::invalid_argument& error) {
      const std::string text = error.what(), start = "[config] " + path_;
      EXPECT_TRUE(text.starts_with(start)) << text;
      EXPECT_EQ(text.find('\n'), std::string::npos) << text;
      return text.substr(start.size());
    }
    return "no error";
  }

  std::string path_;
};

std::string override_error(const std::vector<std::string>& overrides) {
  try {
    load_config("", overrides);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "no error";
}

TEST_F(LoadConfig, ReadsEveryKindOfValue) {
  const Config config = load(
      "seed: 18446744073709551615\n"
      "hardware: {use_mlx_for_generation: false, mlx_model_path: ./m}\n"
      "model: {system_prompt: \"be: brief\"}\n"
      "data:\n  eval: null\n  limit: 7\n"
      "rollout: {top_p: 0.5, stop: [END, \"123\", '']}\n"
      "reward:\n  functions:\n    - name: format\n      weight: -1\n"
      "train: {learning_rate: 1e-4, beta: 0.04}\n"
      "lora:\n");
  EXPECT_EQ(config.seed, UINT64_MAX);
  EXPECT_FALSE(config.hardware.use_mlx_for_generation);
  EXPECT_EQ(config.hardware.mlx_model_path, "./m");
  EXPECT_EQ(config.model.system_prompt, "be: brief");
  EXPECT_EQ(config.data.eval, std::nullopt);
  EXPECT_EQ(config.data.limit, 7);
  EXPECT_EQ(config.rollout.top_p, 0.5f);
  EXPECT_EQ(config.rollout.stop, (std::vector<std::string>{"END", "123", ""}));
  ASSERT_EQ(config.reward.functions.size(), 1u);
  EXPECT_EQ(config.reward.functions[0].name, "format");
  EXPECT_EQ(config.reward.functions[0].weight, -1);
  EXPECT_EQ(config.train.learning_rate, 1e-4);
  EXPECT_EQ(config.train.beta, 0.04);
  EXPECT_EQ(config.train.epsilon, std::nullopt);
}

TEST_F(LoadConfig, TheMicrobatchMayBeAuto) {
  const auto tokens = [&](const std::string& text) {
    return load("train: {max_tokens_per_microbatch: " + text + "}\n")
        .train.max_tokens_per_microbatch;
  };
  EXPECT_EQ(tokens("auto"), 0);
  EXPECT_EQ(tokens("0"), 0);
  EXPECT_EQ(tokens("12"), 12);
  EXPECT_EQ(
      error_of("train: {max_tokens_per_microbatch: automatic}\n"),
      ":1: train.max_tokens_per_microbatch: expected an integer at least 0 or auto, "
      "got 'automatic'");
  EXPECT_EQ(
      load("", {"--train.max_tokens_per_microbatch=auto"})
          .train.max_tokens_per_microbatch,
      0);
  EXPECT_NE(error_of("seed: auto\n"), "no error");
}

TEST_F(LoadConfig, CriteriaReplaceTheDefaultOnes) {
  EXPECT_EQ(load("").teacher.criteria.size(), 4u);
  auto config = load(
      "teacher:\n  mode: group\n  criteria:\n"
      "    - {name: safe, weight: 3, meaning: no eval}\n"
      "    - {name: short, meaning: few lines}\n",
      {"--teacher.criteria.1.weight=2"});
  ASSERT_EQ(config.teacher.criteria.size(), 2u);
  EXPECT_EQ(config.teacher.criteria[0].name, "safe");
  EXPECT_EQ(config.teacher.criteria[0].weight, 3);
  EXPECT_EQ(config.teacher.criteria[1].weight, 2);
  EXPECT_NE(
      error_of("teacher:\n  criteria:\n    - {name: a, weight: 0}\n")
          .find("weight: expected a number above 0"),
      std::string::npos);
}

TEST_F(LoadConfig, AnEmptyFileIsTheDefaults) {
  EXPECT_EQ(dump_yaml(load("")), dump_yaml(Config()));
  EXPECT_EQ(dump_yaml(load("# nothing\n")), dump_yaml(Config()));
}

TEST_F(LoadConfig, NamesTheNearestKeyOfAnUnknownOne) {
  EXPECT_EQ(
      error_of("seed: 1\nrollout:\n  top_pp: 1\n"),
      ":3: no such key: 'rollout.top_pp'; did you mean rollout.top_p?");
  EXPECT_EQ(
      error_of("rolout: {top_p: 1}\n"),
      ":1: no such key: 'rolout'; did you mean rollout?");
  EXPECT_EQ(
      error_of("train:\n  num_generations: 4\n"),
      ":2: no such key: 'train.num_generations'; did you mean "
      "rollout.num_generations?");
  EXPECT_EQ(
      error_of("reward: {functions: [{nam: tests}]}\n"),
      ":1: no such key: 'reward.functions.0.nam'; did you mean "
      "reward.functions.0.name?");
}

TEST_F(LoadConfig, NamesTheKeyAndLineOfAWrongValue) {
  EXPECT_EQ(
      error_of("train:\n  max_steps: ten\n"),
      ":2: train.max_steps: expected an integer at least 0, got 'ten'");
  EXPECT_EQ(
      error_of("train: {max_steps: 1.5}\n"),
      ":1: train.max_steps: expected an integer at least 0, got '1.5'");
  EXPECT_EQ(
      error_of("train: {max_steps: \"5\"}\n"),
      ":1: train.max_steps: expected an integer at least 0, got text '5'");
  EXPECT_EQ(
      error_of("rollout:\n\n  top_p: 1.5\n"),
      ":3: rollout.top_p: expected a number from 1.0e-06 to 1, got '1.5'");
  EXPECT_EQ(
      error_of("rollout: {temperature: 0}"),
      ":1: rollout.temperature: expected a number above 0, got '0'");
  EXPECT_EQ(
      error_of("hardware: {device: tpu}"),
      ":1: hardware.device: expected one of auto, cpu, gpu, got 'tpu'");
  EXPECT_EQ(
      error_of("data: {shuffle: yes}"),
      ":1: data.shuffle: expected true or false, got 'yes'");
  EXPECT_EQ(error_of("data: {train: null}"), ":1: data.train: expected text, got null");
  EXPECT_EQ(
      error_of("data: {limit: 0}"),
      ":1: data.limit: expected an integer at least 1 or null, got '0'");
  EXPECT_EQ(error_of("seed: [1]"), ":1: seed: expected an integer, got a list");
  EXPECT_EQ(error_of("seed: -1"), ":1: seed: expected an integer, got '-1'");
  EXPECT_EQ(error_of("train: 3"), ":1: train: expected a map of keys, got '3'");
  EXPECT_EQ(error_of("- a"), ":1: expected a map of keys, got a list");
  EXPECT_EQ(
      error_of("rollout: {stop: END}"), ":1: rollout.stop: expected a list, got 'END'");
  EXPECT_EQ(
      error_of("rollout: {stop: [[a]]}"),
      ":1: rollout.stop.0: expected text, got a list");
}

TEST_F(LoadConfig, RejectsNumbersThatAreNotFinite) {
  for (const char* value : {".nan", ".inf", "nan", "inf", "1e999", "0x10", ""}) {
    EXPECT_NE(
        error_of("train: {learning_rate: " + std::string(value) + "}"), "no error")
        << value;
  }
  EXPECT_NE(error_of("rollout: {temperature: 1e39}"), "no error");  // beyond float
}

TEST_F(LoadConfig, RejectsAKeyGivenTwice) {
  EXPECT_EQ(error_of("seed: 1\nseed: 1\n"), ":2: 'seed' is given twice");
  EXPECT_EQ(
      error_of("train:\n  beta: 0\n  optim: adamw\n  beta: 1\n"),
      ":4: 'train.beta' is given twice");
}

TEST_F(LoadConfig, AListElementMustBeComplete) {
  EXPECT_EQ(
      error_of("reward:\n  functions:\n    - weight: 2\n"),
      ":3: reward.functions.0.name is missing, expected one of tests, format, rubric, "
      "teacher, length, repetition, regex, or a command or pattern beside it");
  EXPECT_EQ(
      error_of("reward: {functions: [null]}"),
      ":1: reward.functions.0: expected a map of keys, got null");
  EXPECT_EQ(
      error_of("reward:\n  functions:\n    - {name: tests}\n    - {name: tets}\n"),
      ":4: reward.functions.1.name: expected one of tests, format, rubric, teacher, "
      "length, repetition, regex, or a command or pattern beside it, got 'tets'");
  EXPECT_EQ(
      error_of("reward: {functions: [{name: format, ngram_size: 2}]}"),
      ":1: reward.functions.0.ngram_size: is a key of repetition, not of 'format'");
}

TEST_F(LoadConfig, RejectsHostileYaml) {
  EXPECT_EQ(
      error_of("model: {system_prompt: &a x, adapter_path: *a}"),
      ":1: aliases (*name) are not supported: repeat the value");
  EXPECT_EQ(error_of(std::string(1000, '[')), ":1: nested deeper than 16 levels");
  EXPECT_EQ(error_of(std::string(100000, '{')), ":1: nested deeper than 16 levels");
  EXPECT_EQ(
      error_of(std::string(300 << 10, ' ')),
      ": expected at most 256 KiB of YAML, got 307200 bytes");
  EXPECT_EQ(
      error_of("seed: 1\n---\nseed: 2\n"), ": expected one YAML document, got several");
  EXPECT_TRUE(error_of("seed: [1\ntrain: }").starts_with(":2: not YAML: "));
  EXPECT_EQ(error_of("? [a]\n: 1\n"), ":1: expected a key, got a list");
  EXPECT_EQ(
      error_of("data: {train: \"a\\0b\"}"),
      ":1: data.train: expected text, got 'a\\x00b'");
}

TEST_F(LoadConfig, NamesAFileThatCannotBeRead) {
  try {
    load_config("/no/such.yaml", {});
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(
        error.what(),
        "[config] '/no/such.yaml': no such file; `pupil init` writes a config.yaml");
  }
  EXPECT_THROW(load_config(testing::TempDir(), {}), std::invalid_argument);
}

TEST_F(LoadConfig, OverridesWinOverTheFileInOrder) {
  const Config config = load(
      "train: {max_steps: 5}\n",
      {"--train.max_steps=6",
       "--train.max_steps",
       "7",
       "--model.system_prompt=a: 'b' = c",
       "--train.beta=null",
       "--rollout.stop=[x, y]",
       "--reward.functions.1.weight=0.5",
       "--lora={rank: 4}"});
  EXPECT_EQ(config.train.max_steps, 7);
  EXPECT_EQ(config.model.system_prompt, "a: 'b' = c");
  EXPECT_EQ(config.train.beta, std::nullopt);
  EXPECT_EQ(config.rollout.stop, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(config.reward.functions[1].weight, 0.5);
  EXPECT_EQ(config.lora.rank, 4);
}

TEST_F(LoadConfig, TheShippedConfigsLoad) {
  for (const auto& entry :
       std::filesystem::directory_iterator(PUPIL_SOURCE_DIR "/configs")) {
    EXPECT_NO_THROW(load_config(entry.path().string(), {})) << entry.path();
  }
}

TEST_F(LoadConfig, AWrongOverrideIsAUsageError) {
  EXPECT_EQ(
      override_error({"--rollout.topp=1"}),
      "[command line] '--rollout.topp': no such key: 'rollout.topp'; did you mean "
      "rollout.top_p?");
  EXPECT_EQ(
      override_error({"--train.max_steps=ten"}),
      "[command line] '--train.max_steps': expected an integer at least 0, got 'ten'");
  EXPECT_EQ(
      override_error({"--seed"}), "[command line] '--seed': expected a value after it");
  EXPECT_EQ(
      override_error({"extra"}),
      "[command line] expected --section.key=value, got 'extra'");
  EXPECT_NE(override_error({"--reward.functions.9.weight=1"}), "no error");
  EXPECT_NE(override_error({"--reward.functions=[{name: tets}]"}), "no error");
  EXPECT_NE(override_error({"--rollout.stop=[a"}), "no error");
  EXPECT_NE(override_error({"--=1"}), "no error");
}

}  // namespace
}  // namespace pupil
