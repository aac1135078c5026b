// MBPP's own solutions, where the machine has them.

#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/tasks.h"
#include "reward/reward_support.h"
#include "reward/tests_reward.h"

namespace pupil {

/// Every `stride`th task of the file, at most `count`; none where it is missing.
inline std::vector<Task> mbpp_tasks(size_t count, size_t stride) {
  const std::string path = PUPIL_SOURCE_DIR "/../shared/data/mbpp.jsonl";
  std::vector<Task> chosen;
  if (!std::filesystem::exists(path)) return chosen;
  const auto tasks = load_tasks(path, std::nullopt);
  for (size_t i = 0; i < tasks.size() && chosen.size() < count; i += stride) {
    chosen.push_back(tasks[i]);
  }
  return chosen;
}

/// Scores each task's own solution.
inline void expect_all_accepted(const std::vector<Task>& tasks) {
  std::vector<Completion> completions;
  for (const auto& task : tasks) {
    completions.push_back(make_completion(fenced(task.solution)));
  }
  std::vector<Sample> samples;
  for (size_t i = 0; i < tasks.size(); ++i) {
    samples.push_back({&tasks[i], &completions[i]});
  }
  SandboxConfig config;  // as users have it
  const auto scores = tests_reward(std::make_shared<const Sandbox>(config), 2)(samples);
  for (size_t i = 0; i < tasks.size(); ++i) {
    EXPECT_EQ(scores[i].value, 1.0) << tasks[i].id << ": " << scores[i].reason;
  }
}

}  // namespace pupil
