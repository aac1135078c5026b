// MBPP's own solutions, and broken ones, through `pupil score`.

#pragma once

#include <re2/re2.h>
#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "app/tiny_world.h"

namespace pupil::testing {

inline const std::string kMbpp = PUPIL_SOURCE_DIR "/../shared/data/mbpp.jsonl";

/// The first `count` problems from task_id 11 on, where MBPP's test split begins.
inline std::vector<nlohmann::json> mbpp_problems(size_t count) {
  std::vector<nlohmann::json> problems;
  std::istringstream lines(read_text(kMbpp));
  for (std::string line; std::getline(lines, line);) {
    auto problem = nlohmann::json::parse(line);
    if (problem.at("task_id") >= 11) problems.push_back(std::move(problem));
  }
  std::sort(problems.begin(), problems.end(), [](const auto& a, const auto& b) {
    return a.at("task_id") < b.at("task_id");
  });
  problems.resize(std::min(problems.size(), count));
  return problems;
}

/// The objects that `pupil score --json` prints for `answers`, by the reward `tests`
/// alone. Problem 123 needs seconds of computing, and more on a busy machine.
inline std::vector<nlohmann::json> mbpp_scores(
    const TinyWorld& world,
    const std::vector<std::pair<nlohmann::json, std::string>>& answers) {
  std::string lines;
  for (const auto& [id, code] : answers) {
    const std::string text = "```python\n" + code + "\n```";
    lines += nlohmann::json{{"id", id}, {"completion", text}}.dump() + "\n";
  }
  world.write("answers.jsonl", lines);
  const auto run = world.run(
      "score --tasks '" + kMbpp +
      "' --completions answers.jsonl --json '--reward.functions=[{name: tests}]' "
      "--sandbox.cpu_s=30 --sandbox.wall_s=90");
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  std::vector<nlohmann::json> objects;
  std::istringstream out(run.output);
  for (std::string line; std::getline(out, line);) {
    objects.push_back(nlohmann::json::parse(line));
  }
  EXPECT_EQ(objects.size(), answers.size());
  objects.resize(answers.size());
  return objects;
}

/// Redefines every function of `code` so that it gives something else.
inline std::vector<std::string> broken_versions(const std::string& code) {
  std::string none, raises;
  static const RE2 kDefinition(R"((?m:^)def\s+(\w+))");
  re2::StringPiece rest(code);
  for (std::string name; RE2::FindAndConsume(&rest, kDefinition, &name);) {
    const std::string head = "\ndef " + name + "(*a, **k):\n    ";
    none += head + "return ['wrong', 7]\n";
    raises += head + "raise ValueError()\n";
  }
  return {code + none, code + raises, "x = 1"};
}

/// Every solution scores 1, and every broken version below.
inline void expect_mbpp_is_told_apart(size_t count) {
  TinyWorld world;
  const auto problems = mbpp_problems(count);
  ASSERT_EQ(problems.size(), count);
  std::vector<std::pair<nlohmann::json, std::string>> right, wrong;
  for (const auto& problem : problems) {
    const std::string code = problem.at("code");
    right.emplace_back(problem.at("task_id"), code);
    for (const auto& broken : broken_versions(code)) {
      wrong.emplace_back(problem.at("task_id"), broken);
    }
  }
  for (const auto& object : mbpp_scores(world, right)) {
    EXPECT_EQ(object.value("reward", -1.0), 1.0) << object;
  }
  for (const auto& object : mbpp_scores(world, wrong)) {
    ASSERT_TRUE(object.at("reward").is_number()) << object;
    EXPECT_LT(object.at("reward").get<double>(), 1.0) << object;
  }
}

}  // namespace pupil::testing
