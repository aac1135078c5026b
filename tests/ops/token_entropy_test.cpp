#include "ops/token_entropy.h"

#include <gtest/gtest.h>

#include "ops/finite_differences.h"

namespace pupil {

namespace {

constexpr float kTemperature = 0.7f;

}  // namespace

TEST(TokenEntropy, EqualsTheStatisticsOfTokens) {
  mx::random::seed(3);
  auto hidden = mx::random::normal({5, 4}), weight = mx::random::normal({4, 9});
  auto head = [&](const mx::array& h) { return mx::matmul(h, weight); };
  auto targets = mx::zeros({5}, mx::int32);
  auto known = token_logprobs(hidden, targets, head, kTemperature).entropy;
  for (int chunk : {2, 256}) {
    auto entropy = token_entropy(hidden, head, kTemperature, chunk);
    EXPECT_TRUE(mx::allclose(entropy, known, 1e-5, 1e-5).item<bool>());
  }
}

TEST(TokenEntropy, GradientEqualsFiniteDifferences) {
  auto weight = ops_test::normal({4, 9}, 2);
  auto head = [&](const mx::array& h) { return mx::matmul(h, weight); };
  for (int chunk : {2, 256}) {
    auto f = [&](const ops_test::Arrays& in) {
      return token_entropy(in[0], head, kTemperature, chunk);
    };
    ops_test::expect_finite_differences(
        f, {ops_test::normal({5, 4}, 1)}, 0, ops_test::kShortStep);
  }
}

}  // namespace pupil
