#include "data/task_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace pupil {
namespace {

TEST(TaskOrder, DrawsEachTaskOncePerEpoch) {
  TaskOrder order{7, true, 10};
  std::vector<size_t> expected(10);
  std::iota(expected.begin(), expected.end(), size_t{0});
  for (uint64_t epoch = 0; epoch < 20; ++epoch) {
    auto seen = tasks_in_order(order, epoch * 10, 10);
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, expected) << "epoch " << epoch;
  }
}

TEST(TaskOrder, DoesNotDependOnHowManyAreDrawnAtOnce) {
  TaskOrder order{1, true, 50};
  auto all = tasks_in_order(order, 0, 200);
  for (size_t per_call : {1, 3, 50, 77}) {
    std::vector<size_t> joined;
    while (joined.size() < all.size()) {
      auto part = tasks_in_order(order, joined.size(), per_call);
      joined.insert(joined.end(), part.begin(), part.end());
    }
    joined.resize(all.size());
    EXPECT_EQ(joined, all);
  }
  EXPECT_NE(tasks_in_order(order, 0, 50), tasks_in_order(order, 50, 50));
  EXPECT_NE(tasks_in_order(order, 0, 50), tasks_in_order({2, true, 50}, 0, 50));
}

TEST(TaskOrder, KeepsTheFilesOrderWithoutShuffle) {
  EXPECT_EQ(
      tasks_in_order({0, false, 3}, 0, 6), (std::vector<size_t>{0, 1, 2, 0, 1, 2}));
}

TEST(TaskOrder, ShufflesEvenly) {
  std::vector<int> first(5);
  for (uint64_t epoch = 0; epoch < 5000; ++epoch) {
    ++first[tasks_in_order({3, true, 5}, 5 * epoch, 5)[0]];
  }
  for (int count : first) EXPECT_NEAR(count, 1000, 130);  // over 4 standard deviations
}

TEST(TaskOrder, RefusesNothingToDraw) {
  EXPECT_THROW(tasks_in_order({0, true, 0}, 0, 4), std::invalid_argument);
}

}  // namespace
}  // namespace pupil
