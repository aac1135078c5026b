#include "train/schedule.h"

#include <gtest/gtest.h>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace pupil {

TEST(Schedule, WarmsUpThenFollowsItsShape) {
  using enum Schedule;
  EXPECT_DOUBLE_EQ(schedule_factor({constant, 4}, 0, 10), 0.25);
  EXPECT_DOUBLE_EQ(schedule_factor({constant, 4}, 3, 10), 1.0);
  EXPECT_DOUBLE_EQ(schedule_factor({constant, 0}, 9, 10), 1.0);
  EXPECT_DOUBLE_EQ(schedule_factor({linear, 4}, 4, 10), 1.0);
  EXPECT_DOUBLE_EQ(schedule_factor({linear, 4}, 7, 10), 0.5);
  EXPECT_DOUBLE_EQ(schedule_factor({cosine, 4}, 7, 10), 0.5);
  EXPECT_NEAR(schedule_factor({cosine, 4}, 10, 10), 0.0, 1e-12);
}

// transformers 4: get_cosine_with_min_lr_schedule_with_warmup, get_wsd_schedule.
TEST(Schedule, FallsToAFloor) {
  using enum Schedule;
  ScheduleConfig floor{cosine_with_min_lr, 4, 0, 0.2};
  EXPECT_DOUBLE_EQ(schedule_factor(floor, 1, 10), 0.5);
  EXPECT_DOUBLE_EQ(schedule_factor(floor, 7, 10), 0.6);
  EXPECT_NEAR(schedule_factor(floor, 10, 10), 0.2, 1e-12);
  ScheduleConfig wsd{warmup_stable_decay, 2, 4, 0.1};
  EXPECT_DOUBLE_EQ(schedule_factor(wsd, 0, 10), 0.5);
  EXPECT_DOUBLE_EQ(schedule_factor(wsd, 5, 10), 1.0);
  EXPECT_DOUBLE_EQ(schedule_factor(wsd, 6, 10), 1.0);
  double third = 0.1 + 0.9 * 0.5 * (1 + std::cos(std::numbers::pi * 0.75));
  EXPECT_DOUBLE_EQ(schedule_factor(wsd, 9, 10), third);
  EXPECT_NEAR(schedule_factor(wsd, 10, 10), 0.1, 1e-12);
}

TEST(Schedule, UnknownNamesAreErrors) {
  EXPECT_EQ(schedule_of("cosine"), Schedule::cosine);
  EXPECT_EQ(schedule_of("warmup_stable_decay"), Schedule::warmup_stable_decay);
  EXPECT_THROW(schedule_of("polynomial"), std::invalid_argument);
}

}  // namespace pupil
