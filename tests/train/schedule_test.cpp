#include "train/schedule.h"

#include <gtest/gtest.h>
#include <stdexcept>

namespace pupil {

TEST(Schedule, WarmsUpThenFollowsItsShape) {
  EXPECT_DOUBLE_EQ(schedule_factor(Schedule::constant, 0, 4, 10), 0.25);
  EXPECT_DOUBLE_EQ(schedule_factor(Schedule::constant, 3, 4, 10), 1.0);
  EXPECT_DOUBLE_EQ(schedule_factor(Schedule::constant, 9, 0, 10), 1.0);
  EXPECT_DOUBLE_EQ(schedule_factor(Schedule::linear, 4, 4, 10), 1.0);
  EXPECT_DOUBLE_EQ(schedule_factor(Schedule::linear, 7, 4, 10), 0.5);
  EXPECT_DOUBLE_EQ(schedule_factor(Schedule::cosine, 7, 4, 10), 0.5);
  EXPECT_NEAR(schedule_factor(Schedule::cosine, 10, 4, 10), 0.0, 1e-12);
}

TEST(Schedule, UnknownNamesAreErrors) {
  EXPECT_EQ(schedule_of("cosine"), Schedule::cosine);
  EXPECT_THROW(schedule_of("polynomial"), std::invalid_argument);
}

}  // namespace pupil
