#include "data/task_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace pupil {
namespace {

std::vector<size_t> steps(const TaskOrder& order, uint64_t from, uint64_t count) {
  std::vector<size_t> all;
  for (uint64_t step = from; step < from + count; ++step) {
    auto drawn = tasks_of_step(order, step);
    all.insert(all.end(), drawn.begin(), drawn.end());
  }
  return all;
}

TEST(TaskOrder, DrawsEachTaskOncePerEpoch) {
  for (size_t per_step : {1, 3, 4, 10, 25}) {
    TaskOrder order{7, true, 10, per_step};
    auto all = steps(order, 0, 20);
    std::vector<size_t> expected(10);
    std::iota(expected.begin(), expected.end(), size_t{0});
    for (size_t epoch = 0; (epoch + 1) * 10 <= all.size(); ++epoch) {
      std::vector<size_t> seen(all.begin() + epoch * 10, all.begin() + epoch * 10 + 10);
      std::sort(seen.begin(), seen.end());
      EXPECT_EQ(seen, expected) << per_step << " a step, epoch " << epoch;
    }
  }
}

TEST(TaskOrder, DependsOnSeedAndEpochAlone) {
  TaskOrder order{1, true, 50, 5};
  EXPECT_EQ(tasks_of_step(order, 13), tasks_of_step(order, 13));
  EXPECT_NE(steps(order, 0, 10), steps(order, 10, 10));
  EXPECT_NE(steps(order, 0, 10), steps({2, true, 50, 5}, 0, 10));
  EXPECT_EQ(steps(order, 0, 10), steps({1, true, 50, 10}, 0, 5));
}

TEST(TaskOrder, KeepsTheFilesOrderWithoutShuffle) {
  EXPECT_EQ(steps({0, false, 3, 2}, 0, 3), (std::vector<size_t>{0, 1, 2, 0, 1, 2}));
}

TEST(TaskOrder, ShufflesEvenly) {
  std::vector<int> first(5);
  for (uint64_t epoch = 0; epoch < 5000; ++epoch) {
    ++first[tasks_of_step({3, true, 5, 5}, epoch)[0]];
  }
  for (int count : first) EXPECT_NEAR(count, 1000, 130);  // over 4 standard deviations
}

TEST(TaskOrder, RefusesNothingToDraw) {
  EXPECT_THROW(tasks_of_step({0, true, 0, 4}, 0), std::invalid_argument);
  EXPECT_THROW(tasks_of_step({0, true, 4, 0}, 0), std::invalid_argument);
}

}  // namespace
}  // namespace pupil
