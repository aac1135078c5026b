#include "algo/methods.h"

#include <gtest/gtest.h>

#include <set>

#include "algo/advantage.h"
#include "algo/policy_loss.h"
#include "support/files.h"

namespace pupil {

TEST(Methods, EveryRowNamesSettingsThatExist) {
  for (const auto& method : kMethods) {
    EXPECT_NO_THROW(loss_type_of(method.loss_type)) << method.name;
    EXPECT_NO_THROW(ratio_of(method.importance_sampling_level)) << method.name;
    EXPECT_NO_THROW(baseline_of(method.baseline)) << method.name;
    EXPECT_NO_THROW(scale_rewards_of(method.scale_rewards)) << method.name;
    EXPECT_NO_THROW(kl_estimator_of(method.kl_estimator)) << method.name;
    EXPECT_EQ(find_method(method.name), &method);
  }
  EXPECT_EQ(find_method("ppo"), nullptr);
}

TEST(Methods, ChoicesAreTheTables) {
  std::string methods, types;
  for (const auto& m : kMethods)
    methods += (methods.empty() ? "" : "|") + std::string(m.name);
  for (const auto& t : kLossTypes)
    types += (types.empty() ? "" : "|") + std::string(t.name);
  for (const auto& m : kAnswerMethods) methods += "|" + std::string(m.name);
  EXPECT_EQ(methods, kTrainMethods);
  EXPECT_EQ(types, kLossTypeNames);
}

TEST(Methods, DocsAreOfThisTable) {
  EXPECT_EQ(
      testing::read_text(PUPIL_SOURCE_DIR "/docs/methods.md"), methods_markdown());
}

}  // namespace pupil
