#include "train/optimizer.h"

#include <gtest/gtest.h>
#include <cmath>

namespace pupil {

namespace {

// A gradient that changes sign, size and is sometimes zero.
double gradient_at(int step, int i) {
  return i == 2 ? 0.0 : std::sin(step * 0.7 + i) * std::pow(10.0, i - 3);
}

// PyTorch's AdamW on one number, in double precision.
struct PlainAdamW {
  AdamWConfig c;
  double value, m = 0, v = 0;
  int step = 0;

  void update(double g, double lr) {
    ++step;
    value *= 1 - lr * c.weight_decay;
    m = c.beta1 * m + (1 - c.beta1) * g;
    v = c.beta2 * v + (1 - c.beta2) * g * g;
    double bias1 = 1 - std::pow(c.beta1, step), bias2 = 1 - std::pow(c.beta2, step);
    value -= lr / bias1 * m / (std::sqrt(v) / std::sqrt(bias2) + c.eps);
  }
};

}  // namespace

TEST(AdamW, EqualsAPlainLoopInDoublePrecision) {
  for (double decay : {0.0, 0.1}) {
    AdamWConfig config{.weight_decay = decay};
    constexpr int kSize = 6;
    std::vector<PlainAdamW> plain;
    for (int i = 0; i < kSize; ++i) plain.push_back({config, 0.5 - 0.2 * i});
    std::vector<float> start;
    for (const auto& p : plain) start.push_back(static_cast<float>(p.value));
    std::vector<mx::array> params = {mx::array(start.data(), {kSize}, mx::float32)};
    AdamW adam(params, config);
    for (int step = 0; step < 20; ++step) {
      double lr = 1e-2 * (step + 1) / 20;
      std::vector<float> grads;
      for (int i = 0; i < kSize; ++i) {
        grads.push_back(static_cast<float>(gradient_at(step, i)));
        plain[i].update(gradient_at(step, i), lr);
      }
      adam.update(params, {mx::array(grads.data(), {kSize}, mx::float32)}, lr);
    }
    for (int i = 0; i < kSize; ++i) {
      EXPECT_NEAR(params[0].data<float>()[i], plain[i].value, 2e-6) << i;
    }
    EXPECT_GT(std::abs(plain[3].value - start[3]), 1e-3);  // it did move
  }
}

TEST(AdamW, ClipsByTheGlobalNorm) {
  std::vector<mx::array> grads = {mx::array({3.0f, 0.0f}), mx::array({4.0f})};
  EXPECT_FLOAT_EQ(global_norm(grads), 5.0f);
  EXPECT_NEAR(clip_scale(5.0f, 1.0), 0.2, 1e-6);
  EXPECT_EQ(clip_scale(5.0f, 5.5), 1.0);
  EXPECT_EQ(clip_scale(5.0f, 0.0), 1.0);

  std::vector<mx::array> scaled = {grads[0] * 0.2f, grads[1] * 0.2f};
  std::vector<mx::array> params[2] = {{mx::ones({2}), mx::ones({1})}, {}};
  params[1] = params[0];
  AdamW once(params[0], {.eps = 0.1}), again(params[0], {.eps = 0.1});
  once.update(params[0], grads, 1e-2, 0.2);
  again.update(params[1], scaled, 1e-2);
  for (int i : {0, 1})
    EXPECT_TRUE(mx::array_equal(params[0][i], params[1][i]).item<bool>());
}

TEST(AdamW, RefusesAnotherModelsMoments) {
  std::vector<mx::array> params = {mx::zeros({2})};
  AdamW adam(params, {});
  EXPECT_THROW(adam.restore({}, {}, 1), std::invalid_argument);
}

}  // namespace pupil
