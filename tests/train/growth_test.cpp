// As growth_long_test.cpp, over fewer steps.

#include "train/growth.h"

namespace pupil::testing {

TEST(Growth, TheSlopeIsSeen) {
  EXPECT_DOUBLE_EQ(rise_of({5, 5, 5, 5}), 0);
  EXPECT_DOUBLE_EQ(rise_of({1, 3, 5, 7}), 6);
}

TEST(Growth, FortyStepsHoldNoMoreThanTen) {
  expect_no_growth(40);
}

}  // namespace pupil::testing
