// Checkpoints that changed, that do not fit on the disk, and that another run wrote.

#include "train/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <random>
#include <set>

#include "support/files.h"
#include "support/temp_dir.h"
#include "train/toy_rows.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
using testing::has;
using testing::read_text;
using testing::refusal;
using testing::TempDir;
using testing::toy_config;
using testing::ToyRun;
using testing::write_text;

constexpr const char* kFiles[] = {
    "adapters.safetensors",
    "adapter_config.json",
    "optimizer.safetensors",
    "state.json",
    "manifest.json"};

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.insert(entry.path().filename().string());
  return names;
}

}  // namespace

TEST(Checkpoint, AnyChangedByteOfAnyFileIsSeen) {
  TempDir dir;
  ToyRun run(toy_config(4));
  run.run(dir.path());
  auto folder = dir.path() / "checkpoints";
  CheckpointStore store(folder, "{}\n");
  std::mt19937 random(1);
  int flips = 0;
  for (const char* name : kFiles) {
    auto path = folder / "step-000004" / name;
    auto good = read_text(path);
    bool every = std::string(name) == "manifest.json";  // no other file vouches for it
    size_t count = every ? good.size() : 60;
    for (size_t i = 0; i < count; ++i, ++flips) {
      auto bad = good;
      size_t at = every ? i : random() % bad.size();
      bad[at] = static_cast<char>(bad[at] ^ (every ? 2 : 1 << random() % 8));
      write_text(path, bad);
      std::string warning;
      auto state = store.load(*run.learner, [&](const auto& line) { warning = line; });
      ASSERT_TRUE(state) << name << " " << at;
      EXPECT_EQ(state->step, 2) << name << " " << at;
      EXPECT_TRUE(has(warning, "step-000004 cannot be used"));
    }
    write_text(path, good);
  }
  std::printf("%d flips seen\n", flips);
  EXPECT_EQ(store.load(*run.learner, [](const auto&) {})->step, 4);
}

TEST(Checkpoint, AFileThatIsCutOffOrGoneIsSeen) {
  TempDir dir;
  ToyRun run(toy_config(4));
  run.run(dir.path());
  auto folder = dir.path() / "checkpoints";
  CheckpointStore store(folder, "{}\n");
  for (const char* name : kFiles) {
    auto path = folder / "step-000004" / name;
    auto good = read_text(path);
    write_text(path, good.substr(0, good.size() / 2));
    EXPECT_EQ(store.load(*run.learner, [](const auto&) {})->step, 2) << name;
    fs::remove(path);
    EXPECT_EQ(store.load(*run.learner, [](const auto&) {})->step, 2) << name;
    write_text(path, good);
  }
}

// Full fine-tuning of 2 B numbers has such a file; read whole, it was refused. Its
// bytes are holes, and another size is seen before they are read.
TEST(Checkpoint, AFileOf17GigabytesIsNoTrouble) {
  TempDir dir;
  ToyRun run(toy_config(2));
  run.run(dir.path());
  auto folder = dir.path() / "checkpoints";
  fs::resize_file(folder / "step-000002/optimizer.safetensors", 17ull << 30);
  std::string warning;
  CheckpointStore store(folder, "{}\n");
  auto load = [&] {
    store.load(*run.learner, [&](const auto& line) { warning = line; });
  };
  EXPECT_THROW(load(), std::runtime_error);
  EXPECT_TRUE(has(warning, "optimizer.safetensors is not what was written"));
}

TEST(Checkpoint, AnExportedAdapterIsWholeWhateverACrashLeft) {
  TempDir dir;
  ToyRun run(toy_config(2));
  auto path = dir.path() / "adapters.safetensors";
  write_text(path.string() + ".tmp", std::string(4000, 'x'));
  write_exported(*run.learner, path);
  EXPECT_TRUE(holds_exported(*run.learner, path));
  EXPECT_EQ(names_in(dir.path()), std::set<std::string>{"adapters.safetensors"});
  fs::create_directories(dir.path() / "taken" / "by a folder");
  EXPECT_THROW(write_exported(*run.learner, dir.path() / "taken"), std::runtime_error);
  EXPECT_FALSE(fs::exists(dir.path() / "taken.tmp"));
}

// LATEST cannot be written: the save fails, though the checkpoint is there and good.
TEST(Checkpoint, AGoodOneOfTheSameStepIsNotWrittenAgain) {
  TempDir dir;
  ToyRun run(toy_config(2));
  CheckpointStore store(dir.path(), "{}\n");
  auto number_of_file = [&] {
    struct stat file {};
    EXPECT_EQ(::stat((dir.path() / "step-000003/state.json").c_str(), &file), 0);
    return file.st_ino;
  };
  fs::create_directories(dir.path() / "LATEST" / "in the way");
  EXPECT_THROW(store.save(*run.learner, 3, {{"a", 1}}, {}), std::runtime_error);
  auto number = number_of_file();
  fs::remove_all(dir.path() / "LATEST");
  store.save(*run.learner, 3, {{"a", 1}}, {});
  EXPECT_EQ(number_of_file(), number);
  store.save(*run.learner, 3, {{"a", 2}}, {});
  EXPECT_EQ(store.load(*run.learner, [](const auto&) {})->trainer["a"], 2);
  EXPECT_EQ(names_in(dir.path()), (std::set<std::string>{"LATEST", "step-000003"}));
}

// What evaluations measured can be loaded from each of them, and is watched over.
TEST(Checkpoint, AMovingAverageHasAFolderOfItsOwn) {
  TempDir dir;
  auto config = toy_config(4);
  config.ema_decay = 0.9;
  ToyRun run(config);
  run.run(dir.path());
  auto folder = dir.path() / "checkpoints";
  CheckpointStore store(folder, "{}\n");
  auto average = store.exported_of_step(4);
  EXPECT_EQ(average, folder / "step-000004/ema");
  auto weights = average / "adapters.safetensors";
  EXPECT_TRUE(holds_exported(*run.learner, weights));
  EXPECT_FALSE(
      holds_exported(*run.learner, folder / "step-000004/adapters.safetensors"));
  EXPECT_EQ(
      read_text(weights), read_text(dir.path() / "adapters/adapters.safetensors"));
  EXPECT_EQ(read_text(average / "adapter_config.json"), "{}\n");
  write_text(average / "adapter_config.json", "[]\n");
  EXPECT_EQ(store.load(*run.learner, [](const auto&) {})->step, 2);
  fs::remove_all(average);
  EXPECT_EQ(store.load(*run.learner, [](const auto&) {})->step, 2);
}

// One that was passed over is newer by its name: it must not push a good one out, and
// its adapter must not be published.
TEST(Checkpoint, OneThatWasPassedOverGoesWithTheNextSave) {
  TempDir dir;
  auto config = toy_config(4);
  config.save_total_limit = 1;
  ToyRun(config).run(dir.path());
  auto folder = dir.path() / "checkpoints";
  fs::rename(folder / "step-000004", folder / "step-000009");
  ToyRun other(config);
  auto bad = read_text(folder / "step-000009/state.json");
  write_text(folder / "step-000009/state.json", bad + " ");
  CheckpointStore store(folder, "{}\n");
  EXPECT_TRUE(store.newest().empty());
  store.save(*other.learner, 5, {}, {1, {}});
  EXPECT_EQ(names_in(folder), (std::set<std::string>{"LATEST", "step-000005"}));
  EXPECT_EQ(read_text(folder / "LATEST"), "step-000005\n");
  EXPECT_EQ(store.newest(), folder / "step-000005");
}

TEST(Checkpoint, TheMillionthStepIsNewerThanTheOneBefore) {
  TempDir dir;
  ToyRun run(toy_config(1));
  CheckpointStore store(dir.path(), "{}\n");
  store.save(*run.learner, 999999, {}, {});
  store.save(*run.learner, 1000000, {}, {});
  EXPECT_EQ(store.newest(), dir.path() / "step-1000000");
  EXPECT_EQ(store.load(*run.learner, [](const auto&) {})->step, 1000000);
  store.save(*run.learner, 1000001, {}, {2, {}});
  EXPECT_EQ(
      names_in(dir.path()),
      (std::set<std::string>{"LATEST", "step-1000000", "step-1000001"}));
}

// Process 1 lives, and no other user may send it a signal.
TEST(Checkpoint, WhatAnotherUsersProcessIsWritingStays) {
  TempDir dir;
  fs::permissions(dir.path(), fs::perms::all);
  auto writing = dir.path() / "step-000004.tmp.1";
  fs::create_directories(writing);
  pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0 && setuid(65534) != 0) _exit(2);
    CheckpointStore store(dir.path(), "{}\n");
    _exit(fs::exists(writing) ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Checkpoint, OfAnotherModelOrReferenceIsRefusedAndTheRestIsTold) {
  RunOrigin origin = {
      {"model_sha256", "aa"},
      {"tokenizer_sha256", "bb"},
      {"ref_model_sha256", "ee"},
      {"ref_adapter_sha256", "ff"},
      {"config_sha256", "cc"},
      {"data_sha256", "gg"},
      {"eval_sha256", "hh"},
      {"pupil", "1"},
      {"mlx", "0.32"},
      {"device", "cpu"}};
  std::vector<std::string> warnings;
  auto warn = [&](const std::string& line) { warnings.push_back(line); };
  check_origin(origin, origin, warn);
  check_origin(nlohmann::json::object(), origin, warn);
  EXPECT_TRUE(warnings.empty());
  for (auto [key, name] :
       {std::pair{"model_sha256", "model"},
        {"tokenizer_sha256", "tokenizer"},
        {"ref_model_sha256", "reference model"},
        {"ref_adapter_sha256", "reference adapter"}}) {
    auto other = origin;
    other[key] = "dd";
    auto text = refusal([&] { check_origin(origin, other, warn); });
    EXPECT_TRUE(has(text, "the " + std::string(name) + "'s files are not those"));
  }
  auto other = origin;
  for (const char* key : {"config_sha256", "data_sha256", "eval_sha256"})
    other[key] = "dd";
  other["mlx"] = "0.33";
  auto old = origin;
  old.erase("ref_adapter_sha256");
  check_origin(old, other, warn);
  ASSERT_EQ(warnings.size(), 5u);
  EXPECT_TRUE(has(warnings[0], "the settings are not those"));
  EXPECT_TRUE(has(warnings[1], "the lines of data.train are not those"));
  EXPECT_TRUE(has(warnings[2], "the tasks of data.eval are not those"));
  EXPECT_TRUE(has(warnings[3], "names no adapter of the reference"));
  EXPECT_TRUE(has(warnings[4], "mlx was 0.32 and is 0.33"));
}

// Saves are due at 2, 4, 6 and 8; the first `misses` of them cannot be written.
TEST(Checkpoint, ThatCannotBeWrittenIsTriedAgainAndTheThirdTimeEndsTheRun) {
  for (int misses : {2, 3}) {
    TempDir dir, whole_dir;
    ToyRun whole(toy_config(8)), run(toy_config(8));
    whole.run(whole_dir.path());
    auto blocked = dir.path() / ("tasks.json.tmp." + std::to_string(getpid()));
    run.hooks.on_metrics = [&](const nlohmann::ordered_json& row) {
      if (row["step"] == 2) fs::create_directories(blocked / "in the way");
      if (row["step"] == 2 * misses + 1) fs::remove_all(blocked);
    };
    if (misses == 2) {
      run.run(dir.path());
      testing::expect_same_bits(whole, run);
      EXPECT_EQ(
          names_in(dir.path() / "checkpoints"),
          (std::set<std::string>{"LATEST", "step-000006", "step-000008"}));
    } else {
      EXPECT_THROW(run.run(dir.path()), std::runtime_error);
      EXPECT_EQ(testing::rows_of(dir.path() / "metrics.jsonl").size(), 6u);
    }
  }
}

}  // namespace pupil
