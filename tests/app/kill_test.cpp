#include <gtest/gtest.h>

#include "app/kill_runs.h"

namespace pupil::testing {

TEST(Kills, TwentyAtRandomMomentsLoseNothingThatWasSaved) {
  expect_to_survive(20);
}

}  // namespace pupil::testing
