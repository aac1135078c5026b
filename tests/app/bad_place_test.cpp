// Run directories that are taken, locked or read-only, and disks that are full.

#include <gtest/gtest.h>

#include <csignal>

#include "app/tiny_world.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;

TEST(RunDirectory, ThatHoldsARunIsKept) {
  TinyWorld world;
  ASSERT_EQ(world.run("train -c config.yaml").exit_code, 0);
  auto weights = world.read("run/adapters/adapters.safetensors"),
       log = world.read("run/log.txt");
  EXPECT_TRUE(failed(
      world.run("train -c config.yaml --train.max_steps=5"),
      1,
      "run holds a run already; go on with --resume"));
  EXPECT_EQ(world.read("run/adapters/adapters.safetensors"), weights);
  EXPECT_EQ(world.read("run/log.txt"), log);
}

TEST(RunDirectory, WithoutARunCannotBeResumed) {
  TinyWorld world;
  EXPECT_TRUE(failed(world.run("train --resume run"), 1, "run holds no run to resume"));
  EXPECT_TRUE(failed(
      world.run("train -c config.yaml --resume"), 1, "run holds no run to resume"));
  EXPECT_EQ(world.run("train --resume").exit_code, 2);
  EXPECT_FALSE(fs::exists(world.at("run")));
}

TEST(RunDirectory, InUseIsNotTouched) {
  TinyWorld world;
  RunningPupil first(
      world.at(""),
      {"train",
       "-c",
       "config.yaml",
       "--train.max_steps=100000",
       "--train.save_steps=1000"});
  ASSERT_TRUE(first.wait_for("step 2/"));
  auto second = world.run("train --resume run");
  EXPECT_TRUE(failed(second, 1, "run is in use by process "));
  first.signal(SIGINT);
  EXPECT_EQ(first.finish().exit_code, 3) << first.finish().output;
  EXPECT_EQ(world.run("train --resume run --train.max_steps=3").exit_code, 0);
}

TEST(RunDirectory, ThatCannotBeWrittenIsNamed) {
  TinyWorld world;
  EXPECT_TRUE(failed(
      world.run("train -c config.yaml --logging.run_dir=tasks.jsonl/run"),
      1,
      "tasks.jsonl/run"));
  EXPECT_TRUE(failed(
      world.run("train -c config.yaml --logging.run_dir=/proc/run"), 1, "/proc/run"));
}

// A small file system of its own, where this process may mount one.
class SmallDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(world_.at("disk"));
    auto mount = run_shell("mount -t tmpfs -o size=600k tmpfs '" + disk() + "' 2>&1");
    mounted_ = mount.exit_code == 0;
    if (!mounted_) GTEST_SKIP() << "cannot mount a tmpfs here: " << mount.output;
  }
  void TearDown() override {
    if (mounted_) run_shell("umount '" + disk() + "'");
  }
  std::string disk() const { return world_.at("disk").string(); }
  // Leaves `kilobytes` free.
  void fill_up_to(int kilobytes) {
    auto space = fs::space(disk()).available;
    world_.write("disk/filler", std::string(space - kilobytes * 1024, 'x'));
  }

  TinyWorld world_;
  bool mounted_ = false;
};

TEST_F(SmallDisk, WhenFullEndsAConversionAndLeavesNothing) {
  fill_up_to(40);
  auto run = world_.run("convert --from model --to disk/out");
  EXPECT_TRUE(failed(run, 1, "No space left on device"));
  EXPECT_EQ(names_in(disk()), std::vector<std::string>{"filler"});
}

TEST_F(SmallDisk, WhenFullEndsAnEvaluationAndLeavesNothing) {
  fill_up_to(0);
  auto run = world_.run(
      "eval --model model --tasks tasks.jsonl --max-tokens 2 --out disk/out "
      "'--reward.functions=[{name: format}]'");
  EXPECT_TRUE(failed(run, 1, "No space left on device"));
  EXPECT_EQ(names_in(disk()), std::vector<std::string>{"filler"});
}

TEST_F(SmallDisk, WhenFullAtTheStartOfARunIsNamed) {
  fill_up_to(0);
  auto run = world_.run("train -c config.yaml --logging.run_dir=disk/run");
  EXPECT_TRUE(failed(run, 1, "No space left on device"));
}

TEST_F(SmallDisk, WhenReadOnlyIsNamed) {
  ASSERT_EQ(world_.run("train -c config.yaml --logging.run_dir=disk/run").exit_code, 0);
  ASSERT_EQ(run_shell("mount -o remount,ro '" + disk() + "'").exit_code, 0);
  for (std::string command :
       {"train --resume disk/run --train.max_steps=4",
        "train -c config.yaml --logging.run_dir=disk/other",
        "convert --from model --to disk/out",
        "eval --model model --tasks tasks.jsonl --max-tokens 2 --out disk/out "
        "'--reward.functions=[{name: format}]'",
        "init disk/config.yaml"}) {
    EXPECT_TRUE(failed(world_.run(command), 1, "Read-only file system")) << command;
  }
}

// A checkpoint that cannot be written ends the run with one line; the last good one
// stands and the run goes on from it once there is room.
TEST_F(SmallDisk, WhenFullDuringTrainingKeepsTheLastCheckpoint) {
  ASSERT_EQ(world_.run("train -c config.yaml --logging.run_dir=disk/run").exit_code, 0);
  auto weights = world_.read("disk/run/adapters/adapters.safetensors");
  fill_up_to(8);
  auto full = world_.run("train --resume disk/run --train.max_steps=40");
  EXPECT_TRUE(failed(full, 1, "No space left on device"));
  EXPECT_EQ(world_.read("disk/run/adapters/adapters.safetensors"), weights);

  fs::remove(world_.at("disk/filler"));
  auto rest = world_.run("train --resume disk/run --train.max_steps=6");
  EXPECT_EQ(rest.exit_code, 0) << rest.errors;
  ASSERT_EQ(world_.run("train -c config.yaml --train.max_steps=6").exit_code, 0);
  EXPECT_EQ(
      world_.read("disk/run/adapters/adapters.safetensors"),
      world_.read("run/adapters/adapters.safetensors"));
}

// There is room for the checkpoint, and not for its adapter in adapters/ as well.
TEST_F(SmallDisk, WithoutRoomToPublishACheckpointIsNotBegun) {
  auto start = world_.run(
      "train -c config.yaml --logging.run_dir=disk/run --lora.rank=8 "
      "--train.save_total_limit=1");
  ASSERT_EQ(start.exit_code, 0) << start.errors;
  auto saved = names_in(world_.at("disk/run/checkpoints"));
  auto newest = world_.at("disk/run/checkpoints/step-000002");
  auto adapter = fs::file_size(newest / "adapters.safetensors");
  auto checkpoint = adapter + fs::file_size(newest / "optimizer.safetensors");
  fill_up_to(static_cast<int>((1.2 * checkpoint + adapter / 2) / 1024));
  auto full = world_.run("train --resume disk/run --train.max_steps=3");
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_TRUE(has(full.errors, "was not written: No space left on device: it needs "));
  EXPECT_EQ(names_in(world_.at("disk/run/checkpoints")), saved);
}

// Rows of metrics still fit, and the disk may be emptied meanwhile.
TEST_F(SmallDisk, WithoutRoomForACheckpointTheRunGoesOnLoudlyForTwoMore) {
  ASSERT_EQ(world_.run("train -c config.yaml --logging.run_dir=disk/run").exit_code, 0);
  auto saved = names_in(world_.at("disk/run/checkpoints"));
  fill_up_to(26);
  auto full = world_.run("train --resume disk/run --train.max_steps=40");
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_TRUE(has(full.output, "step 5/40")) << full.errors;
  auto because = "was not written: No space left on device: it needs ";
  EXPECT_TRUE(
      has(full.errors, std::string("disk/run/checkpoints/step-000003 ") + because));
  EXPECT_TRUE(has(full.errors, "training goes on, the next try is at step 4"));
  EXPECT_TRUE(has(
      full.errors,
      std::string("pupil: [checkpoint] disk/run/checkpoints/step-000005 ") + because));
  EXPECT_EQ(names_in(world_.at("disk/run/checkpoints")), saved);
}

}  // namespace
}  // namespace pupil::testing
