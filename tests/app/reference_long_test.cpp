// MBPP's own solutions and broken ones, graded by us and by tools/reference_grader.py.

#include <gtest/gtest.h>

#include "app/mbpp_scores.h"

namespace pupil::testing {
namespace {

using nlohmann::json;

// What the plain grader says of the answers.jsonl that `mbpp_scores` has written.
std::vector<bool> reference_verdicts(const TinyWorld& world) {
  auto run = run_shell(
      "python3 '" PUPIL_SOURCE_DIR "/tools/reference_grader.py' '" + kMbpp + "' '" +
      world.at("answers.jsonl").string() + "'");
  EXPECT_EQ(run.exit_code, 0);
  std::vector<bool> verdicts;
  std::istringstream lines(run.output);
  for (std::string line; std::getline(lines, line);)
    verdicts.push_back(json::parse(line).at("passes").get<bool>());
  return verdicts;
}

TEST(Reference, MbppPassesWhereAPlainGraderPassesIt) {
  if (!std::filesystem::exists(kMbpp)) GTEST_SKIP() << kMbpp << " is missing";
  TinyWorld world;
  std::vector<std::pair<json, std::string>> answers;
  for (const auto& problem : mbpp_problems(500)) {
    const std::string code = problem.at("code");
    answers.emplace_back(problem.at("task_id"), code);
    for (const auto& broken : broken_versions(code))
      answers.emplace_back(problem.at("task_id"), broken);
  }
  auto scores = mbpp_scores(world, answers);
  auto verdicts = reference_verdicts(world);
  ASSERT_EQ(verdicts.size(), scores.size());
  for (size_t i = 0; i < scores.size(); ++i)
    EXPECT_EQ(scores[i].value("reward", -1.0) == 1.0, verdicts[i]) << scores[i];
}

}  // namespace
}  // namespace pupil::testing
