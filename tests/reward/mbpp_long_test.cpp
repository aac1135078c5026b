#include "reward/mbpp_support.h"

namespace pupil {
namespace {

TEST(MbppLong, EveryCorrectProgramIsAccepted) {
  const auto tasks = mbpp_tasks(1000, 1);
  if (tasks.empty()) GTEST_SKIP() << "needs mbpp.jsonl beside the project";
  EXPECT_GE(tasks.size(), 500u);
  expect_all_accepted(tasks);
}

}  // namespace
}  // namespace pupil
