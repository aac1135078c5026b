#include "base/progress.h"

#include <gtest/gtest.h>

namespace pupil {
namespace {

ProgressState half() {
  return {
      .label = "sampling",
      .unit = "rows",
      .done = 16,
      .total = 32,
      .elapsed_s = 8,
      .note = "reward 0.4"};
}

TEST(Progress, LineShowsRateAndTimeLeft) {
  EXPECT_EQ(
      progress_line(half()), "sampling: 16/32 rows, 2.0/s, 0:08 left, reward 0.4");
}

TEST(Progress, LineOmitsWhatIsNotKnown) {
  EXPECT_EQ(progress_line({.label = "a", .unit = "b", .total = 3}), "a: 0/3 b");
  EXPECT_EQ(
      progress_line({.label = "a", .unit = "b", .done = 50, .elapsed_s = 2}),
      "a: 50 b, 25/s");
  EXPECT_EQ(
      progress_line({.label = "a", .unit = "b", .done = 3, .total = 3, .elapsed_s = 1}),
      "a: 3/3 b, 3.0/s");
}

TEST(Progress, LongTimesShowHours) {
  EXPECT_EQ(
      progress_line(
          {.label = "a", .unit = "b", .done = 1, .total = 3, .elapsed_s = 1831}),
      "a: 1/3 b, 0.0/s, 1:01:02 left");
}

TEST(Progress, BarFillsWithTheShareDone) {
  EXPECT_EQ(
      progress_bar(half(), 200),
      "sampling  [###############...............]  50 %  16/32 rows  2.0/s  0:08 left  "
      "reward 0.4");
}

TEST(Progress, BarNeverExceedsItsWidth) {
  for (int width = 0; width < 120; ++width) {
    EXPECT_LE(progress_bar(half(), width).size(), static_cast<size_t>(width));
  }
  EXPECT_EQ(progress_bar(half(), 45), "sampling  16/32 rows  2.0/s  0:08 left  rewar");
  ProgressState beyond = half();
  beyond.done = 64;
  EXPECT_NE(progress_bar(beyond, 120).find("] 100 %"), std::string::npos);
}

TEST(Progress, APipeGetsNoBarAndAShortPhaseNoLine) {
  testing::internal::CaptureStderr();
  {
    Progress progress("a", "b", 100);
    for (int i = 0; i < 100; ++i) progress.advance();
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace pupil
