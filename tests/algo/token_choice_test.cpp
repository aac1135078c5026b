#include "algo/token_choice.h"

#include <gtest/gtest.h>
#include <cmath>

#include "algo/entropy.h"
#include "algo/kl.h"
#include "algo/sampler_correction.h"

namespace pupil {

namespace {

std::vector<float> to_host(mx::array a) {
  a = mx::contiguous(a);
  a.eval();
  return {a.data<float>(), a.data<float>() + a.size()};
}

}  // namespace

TEST(TokenChoice, QuantileIsLinearBetweenNeighbours) {
  EXPECT_EQ(quantile({3, 1, 2}, 0.5), 2.0f);
  EXPECT_EQ(quantile({4, 1, 2, 3}, 0.5), 2.5f);
  EXPECT_EQ(quantile({1, 2}, 1.0), 2.0f);
  EXPECT_EQ(quantile({}, 0.5), std::nullopt);
}

TEST(TokenChoice, CovarianceChoosesTheHighest) {
  std::vector<float> advantages = {1, 1, -1, -1}, logprobs = {-1, -5, -1, -5};
  CovarianceChoice one{.share = 0.25};
  // mean log p -3: the covariances are 2, -2, -2, 2; the earlier of equals.
  EXPECT_EQ(choose_kl_cov(advantages, logprobs, one), (std::vector<float>{1, 0, 0, 0}));
  CovarianceChoice two{.share = 0.5};
  EXPECT_EQ(choose_kl_cov(advantages, logprobs, two), (std::vector<float>{1, 0, 0, 1}));
}

TEST(TokenChoice, ClipCovChoosesBetweenItsBounds) {
  std::vector<float> advantages = {1, 1, -1, -1}, logprobs = {-1, -5, -1, -5};
  std::vector<float> same(4, 0.0f);
  CovarianceChoice choice{.share = 0.25, .low = 1, .high = 5};
  bool first = false, last = false;
  for (uint64_t seed = 0; seed < 32; ++seed) {
    auto chosen = choose_clip_cov(advantages, logprobs, same, choice, seed);
    EXPECT_EQ(chosen[0] + chosen[1] + chosen[2] + chosen[3], 1);
    EXPECT_EQ(chosen[1] + chosen[2], 0);
    first |= chosen[0] == 1;
    last |= chosen[3] == 1;
  }
  EXPECT_TRUE(first && last);
  choice.low = 3;  // nothing between
  EXPECT_EQ(
      choose_clip_cov(advantages, logprobs, same, choice, 1),
      std::vector<float>(4, 0.0f));
}

// A ratio beyond the bound that its advantage minds; below 1 - epsilon a good token is
// not clipped.
TEST(TokenChoice, ClipCovLeavesClippedTokensAlone) {
  std::vector<float> advantages = {1, 1, -1, -1}, logprobs = {-1, -5, -1, -5};
  CovarianceChoice all{.share = 1, .low = 1, .high = 5};
  auto chosen = [&](const std::vector<float>& log_ratios) {
    return choose_clip_cov(advantages, logprobs, log_ratios, all, 1);
  };
  EXPECT_EQ(chosen({0, 0, 0, 0}), (std::vector<float>{1, 0, 0, 1}));
  EXPECT_EQ(chosen({0.5f, 0, 0, -0.5f}), (std::vector<float>{0, 0, 0, 0}));
  EXPECT_EQ(chosen({-0.5f, 0, 0, 0.5f}), (std::vector<float>{1, 0, 0, 1}));
}

TEST(SamplerCorrection, TruncatesAndMasks) {
  mx::array old({-1.0f, -1.0f, -1.0f}, {1, 3}), mask({1.0f, 1.0f, 0.0f}, {1, 3});
  mx::array sampler({-3.0f, NAN, 5.0f}, {1, 3});
  auto of = [&](const char* mode) {
    SamplerCorrection correction{sampler_correction_mode(mode), {}, 3.0};
    return to_host(sampler_importance(old, sampler, mask, correction));
  };
  EXPECT_EQ(of("token_truncate"), (std::vector<float>{3, 1, 1}));
  EXPECT_EQ(of("token_mask"), (std::vector<float>{0, 1, 1}));
  EXPECT_EQ(of("sequence_truncate"), (std::vector<float>{3}));
  EXPECT_EQ(of("sequence_mask"), (std::vector<float>{0}));
  EXPECT_THROW(sampler_correction_mode("token"), std::invalid_argument);
}

TEST(Kl, EstimatorsEqualTheirFormulas) {
  mx::array d({0.0f, 0.5f, -1.0f}, {3});
  auto k1 = to_host(kl_estimate(d, KlEstimator::k1));
  auto k2 = to_host(kl_estimate(d, KlEstimator::k2));
  auto k3 = to_host(kl_estimate(d, KlEstimator::k3));
  EXPECT_EQ(k1[1], -0.5f);
  EXPECT_EQ(k2[2], 0.5f);
  EXPECT_NEAR(k3[1], std::exp(0.5) - 1.5, 1e-7);
  EXPECT_EQ(k3[0], 0.0f);
  EXPECT_EQ(kl_estimator_of("k2"), KlEstimator::k2);
  EXPECT_THROW(kl_estimator_of("abs"), std::invalid_argument);
}

// Over the whole vocabulary, E_p[k1] and E_p[k3] are the divergence.
TEST(Kl, K1AndK3AreUnbiased) {
  std::vector<double> p = {0.5, 0.3, 0.2}, q = {0.2, 0.5, 0.3};
  double kl = 0, k1 = 0, k3 = 0;
  for (int i = 0; i < 3; ++i) {
    mx::array d({static_cast<float>(std::log(q[i] / p[i]))}, {1});
    kl += p[i] * std::log(p[i] / q[i]);
    k1 += p[i] * to_host(kl_estimate(d, KlEstimator::k1))[0];
    k3 += p[i] * to_host(kl_estimate(d, KlEstimator::k3))[0];
  }
  EXPECT_NEAR(k1, kl, 1e-6);
  EXPECT_NEAR(k3, kl, 1e-6);
}

TEST(Kl, AdaptiveWeightMovesTowardTheTarget) {
  AdaptiveKl control{.target = 0.1, .horizon = 100};
  EXPECT_NEAR(control.next(1.0, 0.11, 10), 1 + 0.1 * 0.1, 1e-12);
  EXPECT_NEAR(control.next(1.0, 9.0, 10), 1 + 0.2 * 0.1, 1e-12);
  EXPECT_NEAR(control.next(1.0, 0.0, 10), 1 - 0.2 * 0.1, 1e-12);
  EXPECT_EQ(AdaptiveKl{}.next(0.5, 9.0, 10), 0.5);
}

TEST(Entropy, ControlFollowsTrls) {
  EntropyControl fixed{.coef = 0.1};
  EXPECT_EQ(fixed.applied(), 0.1);
  fixed.update(0);
  EXPECT_EQ(fixed.coef, 0.1);
  EntropyControl control{.coef = 0.1, .adaptive = true, .target = 1.0};
  EXPECT_EQ(control.applied(), 0);  // nothing measured yet
  control.update(2.0);
  EXPECT_NEAR(control.coef, 0.095, 1e-12);
  EXPECT_EQ(control.applied(), 0);
  control.update(0.5);
  EXPECT_NEAR(control.applied(), 0.1, 1e-12);
  for (int i = 0; i < 1000; ++i) control.update(0.5);
  EXPECT_EQ(control.coef, control.coef_max);
}

}  // namespace pupil
