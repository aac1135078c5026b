#include "train/run_dir.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <fstream>

#include "support/temp_dir.h"
#include "train/toy_rows.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
using testing::TempDir;
using testing::toy_config;
using testing::ToyRun;

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void spoil(const fs::path& path, std::streamoff at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  char byte = static_cast<char>(file.get());
  file.seekp(at);
  file.put(static_cast<char>(byte ^ 1));
}

// While it lives, no file of this process can grow past `bytes`.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) : old_handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &old_);
    rlimit limit{bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SmallDisk() {
    setrlimit(RLIMIT_FSIZE, &old_);
    signal(SIGXFSZ, old_handler_);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

 private:
  rlimit old_;
  void (*old_handler_)(int);
};

std::string complaint(const std::function<void()>& act) {
  try {
    act();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST(RunDir, HoldsWhatTheDesignSays) {
  TempDir dir;
  ToyRun run(toy_config(5));
  run.run(dir.path());
  EXPECT_EQ(
      names_in(dir.path() / "checkpoints"),
      (std::vector<std::string>{
          "LATEST", "step-000002", "step-000004", "step-000005"}));
  EXPECT_EQ(
      names_in(dir.path() / "checkpoints" / "step-000005"),
      (std::vector<std::string>{
          "adapter_config.json",
          "adapters.safetensors",
          "manifest.json",
          "optimizer.safetensors",
          "state.json"}));
  EXPECT_EQ(
      read_file(dir.path() / "adapters" / "adapters.safetensors"),
      read_file(dir.path() / "checkpoints" / "step-000005" / "adapters.safetensors"));
  for (const char* name :
       {"config.yaml", "metrics.jsonl", "rollouts.jsonl", "log.txt"}) {
    EXPECT_TRUE(fs::is_regular_file(dir.path() / name)) << name;
  }
}

TEST(RunDir, KeepsTheNewestCheckpoints) {
  TempDir dir;
  auto config = toy_config(8);
  config.save_total_limit = 2;
  ToyRun(config).run(dir.path());
  EXPECT_EQ(
      names_in(dir.path() / "checkpoints"),
      (std::vector<std::string>{"LATEST", "step-000006", "step-000008"}));
}

TEST(RunDir, ACorruptCheckpointFallsBackToTheOneBefore) {
  for (const char* name :
       {"adapters.safetensors",
        "optimizer.safetensors",
        "state.json",
        "manifest.json"}) {
    TempDir dir;
    ToyRun(toy_config(4)).run(dir.path());
    spoil(dir.path() / "checkpoints" / "step-000004" / name, 40);
    ToyRun resumed(toy_config(4));
    RunDir run(dir.path(), true, "{}\n");
    auto state = run.load(*resumed.learner);
    ASSERT_TRUE(state) << name;
    EXPECT_EQ(state->step, 2) << name;
  }
}

TEST(RunDir, NoUsableCheckpointIsAnError) {
  TempDir dir;
  ToyRun(toy_config(2)).run(dir.path());
  fs::resize_file(
      dir.path() / "checkpoints" / "step-000002" / "optimizer.safetensors", 30);
  ToyRun resumed(toy_config(4));
  EXPECT_NE(
      complaint([&] { resumed.run(dir.path(), true); }).find("no checkpoint"),
      std::string::npos);
}

TEST(RunDir, ResumingAnotherAdapterIsAnError) {
  TempDir dir;
  ToyRun(toy_config(2)).run(dir.path());
  ToyRun other(toy_config(4));
  other.model = testing::tiny_decoder();
  attach_lora(other.model, {.rank = 8}, 1);
  other.learner.emplace(other.model, LearnerConfig{});
  EXPECT_NE(
      complaint([&] { other.run(dir.path(), true); }).find("no checkpoint"),
      std::string::npos);
}

TEST(RunDir, ResumingWithAnotherOptimizerIsAnError) {
  TempDir dir;
  ToyRun(toy_config(2)).run(dir.path());
  auto config = toy_config(4);
  config.optim = "adam";  // the same kinds of arrays
  ToyRun other(config);
  auto text = complaint([&] { other.run(dir.path(), true); });
  EXPECT_NE(text.find("made with train.optim adamw"), std::string::npos) << text;
  EXPECT_NE(text.find("this run has adam"), std::string::npos) << text;
}

TEST(RunDir, ASecondRunIsKeptOut) {
  TempDir dir;
  RunDir first(dir.path(), false, "{}\n");
  pid_t child = fork();
  if (child == 0) {
    auto text = complaint([&] { RunDir second(dir.path(), false, "{}\n"); });
    _exit(text.find("in use") != std::string::npos ? 7 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(RunDir, AnOldRunIsNeverOverwritten) {
  TempDir dir;
  ToyRun(toy_config(1)).run(dir.path());
  EXPECT_NE(
      complaint([&] { ToyRun(toy_config(1)).run(dir.path()); }).find("--resume"),
      std::string::npos);
  TempDir empty;
  EXPECT_NE(
      complaint([&] { RunDir(empty.path() / "none", true, "{}\n"); }).find("no run"),
      std::string::npos);
}

TEST(RunDir, WhatACrashLeftIsSweptAway) {
  TempDir dir;
  ToyRun(toy_config(2)).run(dir.path());
  auto folder = dir.path() / "checkpoints";
  fs::create_directories(folder / "step-000004.tmp.999999999");
  fs::create_directories(folder / ("step-000004.tmp." + std::to_string(getppid())));
  RunDir run(dir.path(), true, "{}\n");
  EXPECT_FALSE(fs::exists(folder / "step-000004.tmp.999999999"));
  EXPECT_TRUE(fs::exists(folder / ("step-000004.tmp." + std::to_string(getppid()))));
}

TEST(RunDir, AFullDiskTakesNothingAway) {
  TempDir dir;
  ToyRun run(toy_config(2));
  run.run(dir.path());
  auto before = names_in(dir.path() / "checkpoints");
  RunDir again(dir.path(), true, "{}\n");
  std::string text;
  {
    SmallDisk limit(4096);
    text = complaint([&] { again.save(*run.learner, 3, {}, {}); });
  }
  EXPECT_NE(text.find("was not written"), std::string::npos) << text;
  EXPECT_EQ(names_in(dir.path() / "checkpoints"), before);
}

// No file can grow past some size, from nothing to nearly all of a checkpoint.
TEST(RunDir, AWriteThatFailsAnywhereTakesNothingAway) {
  TempDir dir;
  ToyRun run(toy_config(2));
  run.run(dir.path());
  auto checkpoints = dir.path() / "checkpoints";
  auto before = names_in(checkpoints);
  auto largest = fs::file_size(checkpoints / "step-000002" / "optimizer.safetensors");
  CheckpointStore store(checkpoints, "{}\n");
  for (rlim_t bytes = 0; bytes < largest; bytes += 1 + largest / 60) {
    std::string text;
    {
      SmallDisk limit(bytes);
      text = complaint([&] { store.save(*run.learner, 3, {}, {}); });
    }
    EXPECT_NE(text.find("step-000003 was not written"), std::string::npos) << bytes;
    EXPECT_EQ(names_in(checkpoints), before) << bytes;
    EXPECT_EQ(store.load(*run.learner, [](const auto&) {})->step, 2) << bytes;
  }
  store.save(*run.learner, 3, {}, {});
  EXPECT_EQ(store.load(*run.learner, [](const auto&) {})->step, 3);
}

// The disk is full from step 2 to step 5: two saves are missed, and no row.
TEST(RunDir, RowsWaitInMemoryWhileTheDiskIsFull) {
  TempDir whole_dir, dir;
  ToyRun whole(toy_config(8)), run(toy_config(8));
  whole.run(whole_dir.path());
  std::optional<SmallDisk> full;
  run.hooks.on_metrics = [&](const nlohmann::ordered_json& row) {
    if (row["step"] == 2) full.emplace(10);
    if (row["step"] == 5) full.reset();
  };
  run.run(dir.path());
  for (const char* name : {"metrics.jsonl", "rollouts.jsonl"}) {
    auto rows = testing::timeless(testing::rows_of(dir.path() / name));
    EXPECT_EQ(rows, testing::timeless(testing::rows_of(whole_dir.path() / name)));
    EXPECT_EQ(rows.back()["step"], 8);
  }
}

// What a checkpoint would vouch for must be on the disk before it.
TEST(RunDir, ASaveFailsWhileRowsWait) {
  TempDir dir;
  ToyRun run(toy_config(2));
  RunDir files(dir.path(), false, "{}\n");
  {
    SmallDisk limit(10);
    files.add_metrics({{"step", 1}, {"reward", 0.5}});
    files.add_metrics({{"step", 2}, {"reward", 0.5}});
    auto text = complaint([&] { files.save(*run.learner, 2, {}, {}); });
    EXPECT_NE(text.find("metrics.jsonl: cannot write"), std::string::npos) << text;
  }
  EXPECT_EQ(read_file(dir.path() / "metrics.jsonl"), "");
  files.save(*run.learner, 2, {}, {});
  EXPECT_EQ(testing::rows_of(dir.path() / "metrics.jsonl").size(), 2u);
}

// As a run leaves it that ended between its last checkpoint and its publishing.
TEST(RunDir, AnAdapterThatWasNotPublishedIsWhenTheRunGoesOn) {
  for (double ema_decay : {0.0, 0.9}) {
    TempDir dir;
    auto config = toy_config(4);
    config.ema_decay = ema_decay;
    ToyRun(config).run(dir.path());
    auto published = dir.path() / "adapters" / "adapters.safetensors";
    auto newest = read_file(published);
    fs::copy_file(
        dir.path() / "checkpoints" / "step-000002" / "adapters.safetensors",
        published,
        fs::copy_options::overwrite_existing);
    ASSERT_NE(read_file(published), newest);
    ToyRun(config).run(dir.path(), true);
    EXPECT_EQ(read_file(published), newest);
    fs::remove_all(dir.path() / "adapters");
    ToyRun(config).run(dir.path(), true);
    EXPECT_EQ(read_file(published), newest);
  }
}

TEST(RunDir, MetricsGoToTensorBoardToo) {
  TempDir dir;
  RunDir run(dir.path(), false, "{}\n");
  run.start_tensorboard();
  run.add_metrics({{"step", 1}, {"reward", 0.5}, {"loss", nullptr}});
  auto names = names_in(dir.path() / "tensorboard");
  ASSERT_EQ(names.size(), 1u);
  auto bytes = read_file(dir.path() / "tensorboard" / names[0]);
  EXPECT_NE(bytes.find("reward"), std::string::npos);
  EXPECT_EQ(bytes.find("loss"), std::string::npos);
}

TEST(RunDir, RowsAreCutAtTheCheckpointsStep) {
  TempDir dir;
  auto path = dir.path() / "rows.jsonl";
  std::string kept = "{\"step\":1}\n{\"step\":2}\n";
  write_file_atomically(path, kept + "{\"step\":3}\n{\"st");
  truncate_rows(path, 2, 2);
  EXPECT_EQ(read_file(path), kept);
  write_file_atomically(path, kept + "{\"step\":2,\"to");
  truncate_rows(path, 9, 9);
  EXPECT_EQ(read_file(path), kept);
  truncate_rows(path, -1, -1);
  EXPECT_EQ(read_file(path), "");
}

}  // namespace pupil
