// Training takes no more memory at its two hundredth step than at its fiftieth.

#include "train/growth.h"

namespace pupil::testing {

TEST(Growth, TwoHundredStepsHoldNoMoreThanFifty) {
  expect_no_growth(200);
}

}  // namespace pupil::testing
