// A reward program in a few lines of Python, in a folder of its own.

#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "reward/program_reward.h"
#include "reward/reward_support.h"
#include "support/files.h"
#include "support/temp_dir.h"

namespace pupil {

using testing::read_text;
using testing::TempDir;
using testing::write_text;

// Begins every program: `requests()`, `reply(request, scores)` and `lengths(request)`.
inline constexpr const char* kProlog = R"py(
import json, os, sys, time
def requests():
    for line in sys.stdin:
        yield json.loads(line)
def reply(request, scores):
    print(json.dumps({"id": request["id"], "scores": scores}), flush=True)
def lengths(request):
    return [len(item["completion"]) for item in request["items"]]
def count(name):
    """How often this was called, in all processes."""
    with open(os.path.join(os.path.dirname(__file__), name), "a+") as file:
        file.write("x")
        file.flush()
        file.seek(0)
        return len(file.read())
)py";

class ProgramRewardTest : public ::testing::Test {
 protected:
  ProgramRewardTest() {
    options_.stop_when_given_up = false;
    options_.program.name = "mine";
    options_.program.environment = environment_without({});
    options_.program.timeout_s = 10;
    options_.program.backoff_s = 0.01;
    options_.program.stderr_path = at("rewards/mine.stderr");
  }

  std::string at(const std::string& name) const {
    return (dir_.path() / name).string();
  }
  std::string calls(const std::string& name) const { return read_text(at(name)); }

  RewardFn program(const std::string& body) {
    write_text(at("mine.py"), kProlog + body);
    options_.program.command = {"python3", at("mine.py")};
    return program_reward(options_);
  }

  // Scores answers of which most programs here give the length.
  std::vector<Score> score(const RewardFn& reward, std::vector<std::string> texts) {
    std::vector<Completion> completions;
    for (const auto& text : texts) completions.push_back(make_completion(text));
    std::vector<Sample> samples;
    for (const auto& completion : completions) samples.push_back({&task_, &completion});
    return reward(samples);
  }

  static void expect_values(
      const std::vector<Score>& scores, std::vector<std::optional<double>> expected) {
    ASSERT_EQ(scores.size(), expected.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      EXPECT_EQ(scores[i].value, expected[i]) << i << ": " << scores[i].reason;
    }
  }

  static double seconds_of(const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
        .count();
  }

  TempDir dir_;
  ProgramRewardOptions options_;
  Task task_ = make_task("f", {"assert f() == 1"}, "import math");
};

}  // namespace pupil
