// All 500 problems of MBPP's test split.

#include <gtest/gtest.h>

#include "app/mbpp_scores.h"

namespace pupil::testing {
namespace {

TEST(ScoreMbpp, All500SolutionsScoreOneAndBrokenOnesBelow) {
  if (!std::filesystem::exists(kMbpp)) GTEST_SKIP() << kMbpp << " is missing";
  expect_mbpp_is_told_apart(500);
}

}  // namespace
}  // namespace pupil::testing
