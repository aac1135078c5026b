// Runs whose reference is a model of its own.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "app/tiny_world.h"

namespace pupil::testing {
namespace {

// The KL of the first step of a run.
double first_kl(const TinyWorld& world, const std::string& run) {
  std::istringstream rows(world.read(run + "/metrics.jsonl"));
  std::string line;
  std::getline(rows, line);
  return nlohmann::json::parse(line).at("kl");
}

TEST(ReferenceRun, AnAdapterOfAnotherRunIsKeptAwayFrom) {
  TinyWorld world;
  const std::string train = "train -c config.yaml --train.beta=0.1 ";
  auto usual = world.run(train + "--logging.run_dir=a --train.learning_rate=0.1");
  ASSERT_EQ(usual.exit_code, 0) << usual.errors;
  EXPECT_EQ(first_kl(world, "a"), 0);

  auto other =
      world.run(train + "--logging.run_dir=b --model.ref_adapter_path=a/adapters");
  ASSERT_EQ(other.exit_code, 0) << other.errors;
  EXPECT_GT(first_kl(world, "b"), 0);

  auto same = world.run(
      train + "--logging.run_dir=c --model.adapter_path=a/adapters " +
      "--model.ref_model_path=model --model.ref_adapter_path=a/adapters");
  ASSERT_EQ(same.exit_code, 0) << same.errors;
  EXPECT_EQ(first_kl(world, "c"), 0);
}

TEST(ReferenceRun, DoesNotGoOnWithAnotherReference) {
  TinyWorld world;
  write_tiny_student(world.at("other"));
  ASSERT_EQ(world.run("train -c config.yaml --logging.run_dir=a").exit_code, 0);
  auto run = world.run(
      "train -c config.yaml --train.beta=0.1 --model.ref_model_path=other "
      "--model.ref_adapter_path=a/adapters");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  const std::string resume = "train --resume run --train.max_steps=3";
  for (auto [file, name] :
       {std::pair{"other/config.json", "reference model"},
        {"a/adapters/adapter_config.json", "reference adapter"}}) {
    auto text = world.read(file);
    world.write(file, text + " ");
    EXPECT_TRUE(failed(
        world.run(resume),
        1,
        "the " + std::string(name) +
            "'s files are not those that this run was trained with"));
    world.write(file, text);
  }
  EXPECT_EQ(world.run(resume).exit_code, 0);
}

TEST(ReferenceRun, ThatNothingAsksForIsAnError) {
  TinyWorld world;
  EXPECT_TRUE(failed(
      world.run("train -c config.yaml --train.beta=0 --model.ref_model_path=model"),
      1,
      "asks for no reference"));
  EXPECT_TRUE(failed(
      world.run("train -c config.yaml --train.beta=0.1 --train.sync_ref_model=true "
                "--model.ref_model_path=model"),
      1,
      "does not move"));
  EXPECT_TRUE(failed(
      world.run("train -c config.yaml --train.beta=0.1 --model.ref_model_path=nowhere"),
      1,
      "nowhere"));
}

}  // namespace
}  // namespace pupil::testing
