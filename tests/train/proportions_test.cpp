#include "train/proportions.h"

#include <gtest/gtest.h>

namespace pupil {
namespace {

struct Share {
  int passed, count;
  double low, high;  // scipy 1.17: binomtest(...).proportion_ci(method='wilson')
};

TEST(Proportions, WilsonsIntervalIsScipys) {
  for (const auto& [passed, count, low, high] :
       {Share{0, 10, 0, 0.27753279986288643},
        Share{1, 3, 0.061491944720396386, 0.7923403991979523},
        Share{5, 10, 0.23659309051256394, 0.7634069094874361},
        Share{10, 10, 0.7224672001371136, 1}}) {
    auto interval = wilson_interval(passed, count);
    EXPECT_DOUBLE_EQ(interval.mean, static_cast<double>(passed) / count);
    EXPECT_NEAR(interval.low, low, 1e-12);
    EXPECT_NEAR(interval.high, high, 1e-12);
    EXPECT_EQ(interval.count, count);
  }
  EXPECT_EQ(wilson_interval(0, 0).count, 0);
}

TEST(Proportions, McNemarsTestIsTheBinomials) {
  EXPECT_EQ(mcnemar_p(0, 0), 1);
  EXPECT_EQ(mcnemar_p(3, 3), 1);
  EXPECT_NEAR(mcnemar_p(5, 1), 14.0 / 64, 1e-12);  // 2 (1 + 6) / 2^6
  EXPECT_NEAR(mcnemar_p(1, 5), 14.0 / 64, 1e-12);
  EXPECT_NEAR(mcnemar_p(0, 8), 2.0 / 256, 1e-12);
  EXPECT_NEAR(mcnemar_p(12, 4), 0.076812744140625, 1e-12);  // scipy's binomtest
  EXPECT_GT(mcnemar_p(2000, 2100), 0.1);                    // no overflow
}

}  // namespace
}  // namespace pupil
