#include "algo/methods.h"

#include <gtest/gtest.h>

#include "algo/advantage.h"
#include "algo/policy_loss.h"

namespace pupil {

TEST(Methods, EveryRowNamesSettingsThatExist) {
  for (const auto& method : kMethods) {
    EXPECT_NO_THROW(aggregate_of(method.loss_type)) << method.name;
    EXPECT_NO_THROW(ratio_of(method.importance_sampling_level)) << method.name;
    EXPECT_NO_THROW(scale_rewards_of(method.scale_rewards)) << method.name;
    EXPECT_EQ(find_method(method.name), &method);
  }
  EXPECT_EQ(find_method("ppo"), nullptr);
}

}  // namespace pupil
