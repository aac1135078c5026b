// What the settings of the loss follow from.

#include "train/loss_settings.h"

#include <gtest/gtest.h>

namespace pupil {

namespace {

TrainConfig of_method(const std::string& method) {
  TrainConfig config;
  config.method = method;
  return config;
}

bool multiplies_kl(const TrainConfig& config) {
  return policy_loss_config(resolve_method(config)).use_bias_correction_kl;
}

bool acts_on_all(const TrainConfig& config) {
  return acts_on_all_rows(resolve_method(config));
}

}  // namespace

TEST(LossSettings, TheKlIsMultipliedByTheRatioWhereTheMethodSaysSo) {
  for (const char* method : {"grpo", "dapo", "gspo", "vespo", "dual_clip"})
    EXPECT_TRUE(multiplies_kl(of_method(method))) << method;
  for (const char* method : {"plain", "reinforce_pp_baseline", "gmpo", "kl_cov", "sft"})
    EXPECT_FALSE(multiplies_kl(of_method(method))) << method;
  auto config = of_method("plain");
  config.use_bias_correction_kl = true;
  EXPECT_TRUE(multiplies_kl(config));
  config.method = "grpo";
  config.use_bias_correction_kl = false;
  EXPECT_FALSE(multiplies_kl(config));
}

TEST(LossSettings, AKlABonusAndAChoiceOfTokensActOnAllRows) {
  EXPECT_FALSE(acts_on_all(of_method("grpo")));
  EXPECT_FALSE(acts_on_all(of_method("rloo")));  // its KL is in the reward
  EXPECT_FALSE(acts_on_all(of_method("online_dpo")));
  EXPECT_TRUE(acts_on_all(of_method("plain")));
  EXPECT_TRUE(acts_on_all(of_method("clip_cov")));
  EXPECT_TRUE(acts_on_all(of_method("kl_cov")));
  TrainConfig config;
  config.entropy_coef = 0.1;
  EXPECT_TRUE(acts_on_all(config));
  config = {};
  config.use_adaptive_entropy = true;
  EXPECT_TRUE(acts_on_all(config));
  config = {};
  config.top_entropy_quantile = 0.5;
  EXPECT_TRUE(acts_on_all(config));
}

}  // namespace pupil
