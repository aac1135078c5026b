#include "ops/token_entropy.h"

#include <gtest/gtest.h>

namespace pupil {

namespace {

constexpr float kTemperature = 0.7f;

mx::array entropy_sum(const mx::array& hidden, const mx::array& weight, int chunk) {
  auto head = [&](const mx::array& h) { return mx::matmul(h, weight); };
  auto scale = mx::arange(1.0f, static_cast<float>(hidden.shape(0)) + 1.0f);
  return mx::sum(token_entropy(hidden, head, kTemperature, chunk) * scale);
}

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
  mx::random::seed(4);
  auto hidden = mx::random::normal({5, 4}), weight = mx::random::normal({4, 9});
  for (int chunk : {2, 256}) {
    std::function<mx::array(const mx::array&)> f = [&](const mx::array& h) {
      return entropy_sum(h, weight, chunk);
    };
    auto gradient = mx::grad(f)(hidden);
    for (int i = 0; i < 5; ++i) {
      auto step = mx::array({0.0f, 1e-2f, 0.0f, 0.0f}, {1, 4});
      auto row = mx::astype(mx::equal(mx::arange(5), mx::array(i)), mx::float32);
      auto move = mx::expand_dims(row, 1) * step;
      float up = f(hidden + move).item<float>(), down = f(hidden - move).item<float>();
      float slope = mx::slice(gradient, {i, 1}, {i + 1, 2}).item<float>();
      EXPECT_NEAR(slope, (up - down) / 2e-2f, 5e-3 * (i + 1));
    }
  }
}

}  // namespace pupil
