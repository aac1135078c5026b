// Runs whose reference is a model of its own.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "app/run_rows.h"
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

// As in TRL: a preference is measured from where the run started.
TEST(ReferenceRun, AnAdapterThatIsStartedFromIsTheReference) {
  for (const char* type : {"lora", "full"}) {
    TinyWorld world;
    world.write(
        "pairs.jsonl",
        "{\"prompt\": \"f a\", \"chosen\": \"a b\", \"rejected\": \"b b\"}\n");
    const std::string config = "train -c config.yaml --train.learning_rate=0.05 ",
                      dpo = config + "--train.method=dpo --data.train=pairs.jsonl ",
                      from = "--from-adapter sft/adapters ";
    auto first = world.run(
        config + "--logging.run_dir=sft --lora.fine_tune_type=" + std::string(type));
    ASSERT_EQ(first.exit_code, 0) << first.errors;
    ASSERT_EQ(world.run(dpo + from + "--logging.run_dir=whole").exit_code, 0);
    auto rows = rows_of(world.read("whole/metrics.jsonl"));
    EXPECT_NEAR(rows[0]["loss"].get<double>(), 0.693147, 1e-5);
    EXPECT_NEAR(rows[0]["rewards/margins"].get<double>(), 0, 1e-5);
    EXPECT_GT(rows[1]["rewards/margins"].get<double>(), 1e-3);

    ASSERT_EQ(world.run(dpo + from + "--train.max_steps=1").exit_code, 0);
    auto file = std::string("sft/adapters/adapter_config.json");
    auto text = world.read(file);
    world.write(file, text + " ");
    const std::string resume = "train --resume run --train.max_steps=2";
    EXPECT_TRUE(failed(world.run(resume), 1, "the reference adapter's files"));
    world.write(file, text);
    auto rest = world.run(resume);
    ASSERT_EQ(rest.exit_code, 0) << rest.errors;
    expect_same_run(world, "whole", "run");
  }
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
