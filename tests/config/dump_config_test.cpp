#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "config/load_config.h"
#include "config/schema.h"

namespace pupil {
namespace {

/// `config` written to a file and read again.
Config through_yaml(const Config& config) {
  const std::string path = testing::TempDir() + "dump_config_" +
                           std::to_string(::getpid()) +
                           ".yaml";  // tests run side by side
  std::ofstream(path) << dump_yaml(config);
  const Config loaded = load_config(path, {});
  std::filesystem::remove(path);
  return loaded;
}

TEST(DumpConfig, LoadsBackTheDefaults) {
  EXPECT_EQ(dump_yaml(through_yaml(Config())), dump_yaml(Config()));
}

TEST(DumpConfig, LoadsBackAwkwardValues) {
  Config config;
  config.seed = UINT64_MAX;
  config.rollout.temperature = 0.1f + 0.2f;
  config.train.learning_rate = 1.0 / 3e7;
  config.train.beta = 0.0;
  config.reward.functions = {{"rubric", 1e-300}};
  config.rollout.stop = {
      "",
      "null",
      "true",
      "12",
      "-",
      "a: b",
      "# c",
      "\n\t\"\\",
      "it's",
      "1e5",
      "\xC3\xA9\xF0\x9F\x98\x80",
      "\x1b\x7f",
      " x ",
      "~",
      "...",
      "Yes",
      "./a",
      "=",
      "<<"};
  config.model.system_prompt = "null";
  const Config loaded = through_yaml(config);
  EXPECT_EQ(loaded.seed, config.seed);
  EXPECT_EQ(loaded.rollout.temperature, config.rollout.temperature);
  EXPECT_EQ(loaded.train.learning_rate, config.train.learning_rate);
  EXPECT_EQ(loaded.train.beta, config.train.beta);
  EXPECT_EQ(loaded.reward.functions.size(), 1u);
  EXPECT_EQ(loaded.reward.functions[0].weight, 1e-300);
  EXPECT_EQ(loaded.rollout.stop, config.rollout.stop);
  EXPECT_EQ(loaded.model.system_prompt, config.model.system_prompt);
}

TEST(DumpConfig, LoadsBackEveryKindOfReward) {
  Config config;
  config.reward.aggregation = "normalize_then_sum";
  RewardFunctionConfig program, regex, length, repetition;
  program.command = {"python3", "-u", "my reward.py", "a, b", ""};
  program.name = "mine";
  program.timeout_s = 2.5;
  program.batch_size = 3;
  program.on_failure = "unscored";
  regex.pattern = "^\\s*\"'x'\": [{}#]$";
  length.name = "length";
  length.max_completion_len = 100;
  length.soft_punish_cache = 0;
  repetition.name = "repetition";
  repetition.weight = 0;
  repetition.ngram_size = 4;
  repetition.max_penalty = -0.5;
  config.reward.functions = {program, regex, length, repetition};
  const Config loaded = through_yaml(config);
  EXPECT_EQ(dump_yaml(loaded), dump_yaml(config));
  ASSERT_EQ(loaded.reward.functions.size(), 4u);
  EXPECT_EQ(loaded.reward.aggregation, "normalize_then_sum");
  EXPECT_EQ(loaded.reward.functions[0].command, program.command);
  EXPECT_EQ(loaded.reward.functions[0].timeout_s, 2.5);
  EXPECT_EQ(loaded.reward.functions[0].on_failure, "unscored");
  EXPECT_EQ(loaded.reward.functions[1].pattern, regex.pattern);
  EXPECT_EQ(loaded.reward.functions[2].soft_punish_cache, 0);
  EXPECT_EQ(loaded.reward.functions[3].max_penalty, -0.5);
  EXPECT_EQ(loaded.reward.functions[3].name, "repetition");
}

TEST(DumpConfig, CarriesTheHelpOfEveryKey) {
  Config config;
  const std::string yaml = dump_yaml(config), markdown = config_markdown();
  for (const Field& section : describe(config).fields) {
    for (const Field& field : section.fields) {
      EXPECT_FALSE(field.help.empty()) << field.key;
      EXPECT_NE(yaml.find("# " + field.help), std::string::npos) << field.key;
      EXPECT_NE(markdown.find("`" + field.key + "`"), std::string::npos) << field.key;
    }
  }
}

TEST(DumpConfig, TheReferencePageIsUpToDate) {
  std::ifstream file(PUPIL_SOURCE_DIR "/docs/config.md");
  const std::string page(std::istreambuf_iterator<char>(file), {});
  EXPECT_TRUE(page == config_markdown()) << "docs/config.md is stale: run `make docs`";
}

}  // namespace
}  // namespace pupil
