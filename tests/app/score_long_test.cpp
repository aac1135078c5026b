// 500 problems of MBPP.

#include <gtest/gtest.h>

#include "app/mbpp_scores.h"

namespace pupil::testing {
namespace {

TEST(ScoreMbpp, Of500ProblemsSolutionsScoreOneAndBrokenOnesBelow) {
  if (!std::filesystem::exists(kMbpp)) GTEST_SKIP() << kMbpp << " is missing";
  expect_mbpp_is_told_apart(500);
}

}  // namespace
}  // namespace pupil::testing
