// Our verdict on answers to tasks in HumanEval's format is that of a plain grader,
// which executes the answer and the tests in one Python process
// (tools/reference_grader.py).

#include <gtest/gtest.h>

#include <sstream>

#include "app/run_rows.h"
#include "app/tiny_world.h"

namespace pupil::testing {
namespace {

using nlohmann::json;

const std::string kFolder = PUPIL_SOURCE_DIR "/tests/golden/human_eval/";

TEST(HumanEval, AnswersPassWhereAPlainGraderPassesThem) {
  TinyWorld world;
  auto run = world.run(
      "score --tasks '" + kFolder + "tasks.jsonl' --completions '" + kFolder +
      "answers.jsonl' --json '--reward.functions=[{name: tests}]' --sandbox.cpu_s=1");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  auto ours = rows_of(run.output),
       theirs = rows_of(read_text(kFolder + "answers.jsonl"));
  ASSERT_EQ(ours.size(), theirs.size());
  size_t num_passed = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    ASSERT_TRUE(ours[i].at("reward").is_number()) << ours[i];
    bool passes = ours[i].at("reward") == 1.0;
    EXPECT_EQ(passes, theirs[i].at("passes"))
        << theirs[i].at("id") << "\n"
        << theirs[i].at("completion").get<std::string>() << "\n"
        << ours[i].at("reasons");
    num_passed += passes;
  }
  EXPECT_GT(num_passed, 30u);
  EXPECT_LT(num_passed, ours.size() - 30);
}

}  // namespace
}  // namespace pupil::testing
