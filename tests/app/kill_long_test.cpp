#include <gtest/gtest.h>

#include "app/kill_runs.h"

namespace pupil::testing {

TEST(KillsLong, TwoHundredAtRandomMomentsLoseNothingThatWasSaved) {
  expect_to_survive(200);
}

}  // namespace pupil::testing
