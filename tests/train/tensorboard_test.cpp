// A run's event files, read back: what TensorBoard would show of them.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "support/files.h"
#include "support/temp_dir.h"
#include "train/toy_run.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
using testing::TempDir;
using testing::toy_config;
using testing::ToyRun;

// The fields of a protocol buffer message by number: bytes, or an integer as text.
std::multimap<uint64_t, std::string> fields_of(std::string_view message) {
  size_t at = 0;
  auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      auto byte = static_cast<unsigned char>(message.at(at++));
      value |= uint64_t(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  std::multimap<uint64_t, std::string> fields;
  while (at < message.size()) {
    uint64_t tag = varint(), type = tag & 7;
    if (type == 0) {
      fields.emplace(tag >> 3, std::to_string(varint()));
      continue;
    }
    size_t size = type == 1 ? 8 : type == 5 ? 4 : varint();
    fields.emplace(tag >> 3, std::string(message.substr(at, size)));
    at += size;
  }
  return fields;
}

// Steps by the name of what they have: of `file`, after those of the files before. A
// session that starts drops its step and what is after it, as TensorBoard does.
void read_events(const fs::path& file, std::map<std::string, std::vector<int>>& steps) {
  auto bytes = testing::read_text(file);
  uint64_t size = 0;
  for (size_t at = 0; at < bytes.size(); at += 12 + size + 4) {
    std::memcpy(&size, bytes.data() + at, sizeof size);
    auto event = fields_of(std::string_view(bytes).substr(at + 12, size));
    auto found = event.find(2);
    int step = found == event.end() ? 0 : std::stoi(found->second);
    auto session = event.find(7);
    if (session != event.end()) {
      EXPECT_EQ(fields_of(session->second).find(1)->second, "1");  // START
      for (auto& [name, of] : steps)
        std::erase_if(of, [&](int other) { return other >= step; });
    }
    auto summary = event.find(5);
    if (summary == event.end()) continue;
    for (const auto& [number, value] : fields_of(summary->second))
      steps[fields_of(value).find(1)->second].push_back(step);
  }
}

std::map<std::string, std::vector<int>> steps_in(const fs::path& run) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(run / "tensorboard"))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::map<std::string, std::vector<int>> steps;
  for (const auto& file : files) read_events(file, steps);
  return steps;
}

void run_with_events(ToyRun& toy, const fs::path& dir, bool resume = false) {
  RunDir run(dir, resume, "{}\n");
  if (!resume) run.write("config.yaml", "train: {}\n");
  run.start_tensorboard();
  Trainer trainer(*toy.learner, toy.stages, run, toy.config, toy.hooks);
  if (resume) trainer.resume();
  trainer.run();
}

}  // namespace

TEST(TensorBoard, HasTheRatiosOfEveryStepAndTheRewardsOfEveryRound) {
  TempDir dir;
  auto config = toy_config(6);
  config.num_iterations = 3;
  ToyRun toy(config);
  run_with_events(toy, dir.path());
  auto steps = steps_in(dir.path());
  EXPECT_EQ(steps["histograms/ratio"], (std::vector<int>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(steps["histograms/reward"], (std::vector<int>{1, 4}));
  EXPECT_EQ(steps["loss"], (std::vector<int>{1, 2, 3, 4, 5, 6}));
}

// Killed after step 5; the checkpoint is step 4's.
TEST(TensorBoard, AResumedRunHasEachStepOnce) {
  TempDir dir;
  {
    ToyRun killed(toy_config(7));
    auto generate = killed.stages.generate;
    killed.stages.generate = [&, rounds = 0](
                                 std::span<RolloutGroup> groups,
                                 int n,
                                 const SamplingEvents& events) mutable {
      if (++rounds == 6) throw std::runtime_error("power cut");
      generate(groups, n, events);
    };
    fs::path whole = dir.path() / "whole";
    EXPECT_THROW(run_with_events(killed, whole), std::runtime_error);
    EXPECT_EQ(steps_in(whole)["loss"].size(), 5u);
    fs::remove_all(whole / "checkpoints/step-000005");  // saved as it failed
  }
  ToyRun resumed(toy_config(7));
  run_with_events(resumed, dir.path() / "whole", true);
  auto steps = steps_in(dir.path() / "whole");
  for (const char* name : {"loss", "reward", "histograms/ratio", "completions"})
    EXPECT_EQ(steps[name], (std::vector<int>{1, 2, 3, 4, 5, 6, 7})) << name;
}

}  // namespace pupil
