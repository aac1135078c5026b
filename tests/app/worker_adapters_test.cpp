// Adapters of one worker after the other: each begins from the model as it was loaded.

#include <gtest/gtest.h>

#include "app/tiny_student.h"
#include "app/worker_client.h"

namespace pupil::testing {
namespace {

using nlohmann::json;

class WorkerAdapters : public ::testing::Test {
 protected:
  WorkerAdapters() {
    write_tiny_student(folder_.path() / "model");
    learn_into("full", {"--lora.fine_tune_type=full"}, 3);
    learn_into("lora", {"--lora.rank=4"}, 3);
    learn_into("fresh", {"--lora.rank=4"}, 0);  // changes nothing
  }

  std::string path(const std::string& name) const {
    return (folder_.path() / name).string();
  }

  std::vector<std::string> worker(
      const char* kind, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {kind, "--model", path("model")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  static json step() {
    return {
        {"op", "train_step"},
        {"id", 1},
        {"learning_rate", 0.05},
        {"samples",
         {{{"input_ids", {5, 6, 7, 30, 31, 32, 1}},
           {"prompt_length", 3},
           {"advantage", 1}}}}};
  }

  static json load(const json& path) {
    return {{"op", "load_adapters"}, {"id", 2}, {"path", path}};
  }

  static json completions(WorkerClient& worker) {
    return worker.ask(
        {{"op", "generate"},
         {"id", 3},
         {"input_ids", {5, 6, 7}},
         {"n", 4},
         {"max_tokens", 8}})["completions"];
  }

 private:
  void learn_into(
      const std::string& name, const std::vector<std::string>& settings, int steps) {
    WorkerClient trainer(worker("train", settings));
    for (int i = 0; i < steps; ++i) ASSERT_EQ(trainer.ask(step())["ok"], true);
    ASSERT_EQ(trainer.ask({{"op", "save_adapters"}, {"path", path(name)}})["ok"], true);
  }

  TempDir folder_;
};

TEST_F(WorkerAdapters, NoneAfterWholeWeightsIsTheModelAsItWasLoaded) {
  WorkerClient sampler(worker("generate"));
  auto plain = completions(sampler);
  ASSERT_EQ(sampler.ask(load(path("full")))["ok"], true);
  EXPECT_NE(completions(sampler), plain);
  ASSERT_EQ(
      sampler.ask(load(nullptr)),
      json({{"id", 2}, {"ok", true}, {"adapter", nullptr}}));
  EXPECT_EQ(completions(sampler), plain);
  WorkerClient started(worker("generate", {"--adapter", path("full")}));
  EXPECT_NE(completions(started), plain);
  ASSERT_EQ(started.ask(load(nullptr))["ok"], true);
  EXPECT_EQ(completions(started), plain);
}

TEST_F(WorkerAdapters, AnAdapterAfterWholeWeightsIsThatOfAFreshWorker) {
  WorkerClient fresh(worker("generate", {"--adapter", path("lora")}));
  WorkerClient plain(worker("generate"));
  WorkerClient sampler(worker("generate", {"--adapter", path("full")}));
  ASSERT_EQ(sampler.ask(load(path("lora")))["ok"], true);
  EXPECT_EQ(completions(sampler), completions(fresh));
  EXPECT_NE(completions(sampler), completions(plain));
  ASSERT_EQ(sampler.ask(load(path("full")))["ok"], true);
  ASSERT_EQ(sampler.ask(load(path("fresh")))["ok"], true);
  EXPECT_EQ(completions(sampler), completions(plain));
}

TEST_F(WorkerAdapters, WhatDoesNotLoadLeavesTheOneThatIsThere) {
  WorkerClient sampler(worker("generate", {"--adapter", path("full")}));
  auto before = completions(sampler);
  EXPECT_EQ(sampler.ask(load(path("model")))["ok"], false);
  EXPECT_EQ(completions(sampler), before);
}

// Of the policy: `entropy` and the loss of a step that changes nothing.
TEST_F(WorkerAdapters, ATrainerBeginsFromTheModelAsItWasLoadedToo) {
  auto look = step();
  look.update({{"update", false}, {"beta", 0.1}});
  WorkerClient expected(worker("train", {"--adapter", path("lora")}));
  WorkerClient trainer(worker("train", {"--lora.fine_tune_type=full"}));
  for (int i = 0; i < 3; ++i) ASSERT_EQ(trainer.ask(step())["ok"], true);
  auto whole = trainer.ask(look), of_lora = expected.ask(look);
  ASSERT_EQ(whole["ok"], true) << whole;
  EXPECT_NE(whole["entropy"], of_lora["entropy"]);
  ASSERT_EQ(trainer.ask(load(path("lora")))["ok"], true);
  auto loaded = trainer.ask(look);
  for (const char* key : {"entropy", "loss", "kl", "grad_norm"})
    EXPECT_EQ(loaded[key], of_lora[key]) << key;
}

}  // namespace
}  // namespace pupil::testing
