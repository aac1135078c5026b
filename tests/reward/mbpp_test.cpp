#include "reward/mbpp_support.h"

namespace pupil {
namespace {

TEST(Mbpp, CorrectProgramsAreAccepted) {
  const auto tasks = mbpp_tasks(60, 16);
  if (tasks.empty()) GTEST_SKIP() << "needs mbpp.jsonl beside the project";
  EXPECT_EQ(tasks.size(), 60u);
  expect_all_accepted(tasks);
}

}  // namespace
}  // namespace pupil
