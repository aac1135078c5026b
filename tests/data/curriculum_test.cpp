#include "data/curriculum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <stdexcept>

namespace pupil {
namespace {

const std::vector<std::string> kIds = {"a", "b", "c", "d"};

TaskRecord record(int64_t draws, int64_t answers, double rate) {
  return {draws, answers, rate};
}

TEST(Curriculum, TheMeanOfTheAnswersIsThePassRate) {
  TaskRecord task;
  for (double passed : {1.0, 0.0, 0.5, 1.0}) task.add(passed);
  EXPECT_EQ(task.answers, 4);
  EXPECT_NEAR(task.pass_rate, 0.625, 1e-12);
}

TEST(Curriculum, EasyFirstGoesFromEasyToHardOncePerRound) {
  TaskRecords records = {
      {"a", record(1, 8, 0.25)},
      {"b", record(1, 8, 1.0)},
      {"c", record(1, 8, 0.5)},
      {"d", record(2, 16, 0.9)}};
  using Order = std::vector<size_t>;
  auto drawn = choose_tasks(Curriculum::easy_first, kIds, records, 1, 5, 3);
  EXPECT_EQ(drawn, (Order{1, 2, 0}));  // d has been drawn before them
  records.erase("a");                  // never asked: first of all
  drawn = choose_tasks(Curriculum::easy_first, kIds, records, 1, 5, 6);
  EXPECT_EQ(drawn, (Order{0, 1, 2, 3, 0, 1}));
}

TEST(Curriculum, EqualsStandInASeededOrder) {
  std::set<std::vector<size_t>> orders;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    auto drawn = choose_tasks(Curriculum::easy_first, kIds, {}, seed, 0, 4);
    EXPECT_EQ(drawn, choose_tasks(Curriculum::easy_first, kIds, {}, seed, 0, 4));
    orders.insert(drawn);
    std::sort(drawn.begin(), drawn.end());
    EXPECT_EQ(drawn, (std::vector<size_t>{0, 1, 2, 3}));
  }
  EXPECT_GT(orders.size(), 8u);
}

TEST(Curriculum, UncertainPrefersWhatIsPassedHalfTheTime) {
  TaskRecords records = {
      {"a", record(9, 98, 0.0)},
      {"b", record(9, 98, 0.5)},
      {"c", record(9, 98, 1.0)},
      {"d", record(9, 98, 0.9)}};
  std::vector<double> count(4);
  const int n = 20000;
  for (uint64_t first = 0; first < n; ++first)
    ++count[choose_tasks(Curriculum::uncertain, kIds, records, 3, first, 1)[0]];
  std::vector<double> weights;
  double sum = 0;
  for (double passed : {0.0, 49.0, 98.0, 88.2}) {
    double p = (passed + 1) / 100;
    weights.push_back(p * (1 - p) + 0.02);
    sum += weights.back();
  }
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(count[i] / n, weights[i] / sum, 0.012);
}

TEST(Curriculum, UncertainRepeatsNoTaskWhileOthersAreLeft) {
  for (uint64_t first = 0; first < 50; ++first) {
    auto drawn = choose_tasks(Curriculum::uncertain, kIds, {}, 3, first, 8);
    for (int half : {0, 4}) {
      std::set<size_t> seen(drawn.begin() + half, drawn.begin() + half + 4);
      EXPECT_EQ(seen.size(), 4u);
    }
  }
}

TEST(Curriculum, AnUnknownNameIsRefused) {
  EXPECT_EQ(curriculum_of("uncertain"), Curriculum::uncertain);
  EXPECT_THROW(curriculum_of("hard_first"), std::invalid_argument);
}

}  // namespace
}  // namespace pupil
