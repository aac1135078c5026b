#include "algo/policy_metrics.h"

#include <gtest/gtest.h>
#include <cmath>

#include "algo/loss_case.h"

namespace pupil {

namespace {

PolicyMetrics metrics_of(int first, int last) {
  PolicyLossConfig config;
  config.beta = 0.1f;
  config.use_bias_correction_kl = false;
  auto in = loss_case(first, last);
  auto loss = policy_loss(in, config, case_totals());
  auto entropy = table([](int i, int t) { return i + t; }, first, last);
  // The sampler's log-probabilities are near those of the policy that sampled; row 2's
  // are not known.
  auto sampler = table(
      [](int i, int t) { return i == 2 ? NAN : old_at(i, t) + 0.01 * (i + t); },
      first,
      last);
  return measure(in, loss, config, entropy, sampler);
}

}  // namespace

TEST(PolicyMetrics, EqualPlainCounts) {
  auto m = metrics_of(0, kRows);
  double entropy = 0, kl = 0, low = 0, high = 0, difference = 0;
  for (int i = 0; i < kRows; ++i) {
    for (int t = 0; t < kLengths[i]; ++t) {
      double r = std::exp(logprob_at(i, t) - old_at(i, t)), a = kAdvantages[i];
      double d = ref_at(i, t) - logprob_at(i, t);
      entropy += i + t;
      kl += std::exp(d) - d - 1;
      low += r < 0.8 && a < 0;
      high += r > 1.2 && a > 0;
      if (i != 2) difference += 0.01 * (i + t);
    }
  }
  EXPECT_EQ(m.num_tokens, 13);
  EXPECT_EQ(m.num_sampled, 12);
  EXPECT_EQ(m.entropy, entropy);
  EXPECT_NEAR(m.kl, kl, 1e-6);
  EXPECT_EQ(m.clipped_low, low);
  EXPECT_EQ(m.clipped_high, high);
  EXPECT_GT(low + high, 0);
  EXPECT_NEAR(m.logp_difference, difference, 1e-6);
  EXPECT_NEAR(m.logp_difference_max, 0.06, 1e-6);
}

TEST(PolicyMetrics, MicrobatchesAddUp) {
  auto whole = metrics_of(0, kRows), sum = metrics_of(0, 2);
  sum += metrics_of(2, kRows);
  EXPECT_EQ(sum.num_tokens, whole.num_tokens);
  EXPECT_EQ(sum.clipped_low, whole.clipped_low);
  EXPECT_EQ(sum.low_min, whole.low_min);
  EXPECT_EQ(sum.high_max, whole.high_max);
  EXPECT_EQ(sum.logp_difference_max, whole.logp_difference_max);
}

}  // namespace pupil
