// A reference of its own: another model, or the student under a fixed adapter.

#include <gtest/gtest.h>

#include "models/lora.h"
#include "support/tiny_model.h"
#include "train/groups.h"
#include "train/learner.h"

namespace pupil::testing {
namespace {

// The tiny model with an adapter whose B is not 0.
Decoder adapted(uint64_t seed) {
  auto model = tiny_decoder();
  attach_lora(model, {.rank = 4, .scale = 2.0f}, seed);
  for_each_linear(model, [&](const std::string&, Linear& linear) {
    auto key = mx::random::key(++seed);
    linear.lora->b =
        mx::random::normal(linear.lora->b.shape(), mx::float32, 0.0f, 0.05f, key);
  });
  return model;
}

Microbatch some_batch() {
  std::mt19937 random(3);
  std::vector<RolloutGroup> groups = {random_group(random, 4)};
  set_advantages(groups, ScaleRewards::group);
  return pack(groups, {.max_completion_length = 9}).at(0);
}

bool same_bits(const mx::array& a, const mx::array& b) {
  return mx::array_equal(a, b).item<bool>();
}

TEST(Reference, OfItsOwnIsThatModel) {
  auto student = adapted(1), other = adapted(100);
  LearnerConfig config;
  config.loss.beta = 0.1;
  config.reference = std::make_shared<const Decoder>(other);
  Learner learner(student, config);
  auto batch = some_batch();
  auto expected = completion_logprobs(other, batch, 1.0f).logprobs;
  EXPECT_TRUE(same_bits(learner.reference_logprobs(batch), expected));
  EXPECT_FALSE(same_bits(learner.logprobs(batch).logprobs, expected));

  StepTotals totals{4, static_cast<double>(batch.positions.size())};
  auto result = learner.forward_backward(batch, totals);
  EXPECT_GT(result.metrics.kl, 0);
  learner.optim_step(1e-2);
  EXPECT_TRUE(same_bits(learner.reference_logprobs(batch), expected));
}

TEST(Reference, ThatIsThePolicyHasNoKl) {
  auto student = adapted(1);
  LearnerConfig config;
  config.loss.beta = 0.1;
  config.reference = std::make_shared<const Decoder>(student);
  Learner learner(student, config);
  auto batch = some_batch();
  StepTotals totals{4, static_cast<double>(batch.positions.size())};
  EXPECT_EQ(learner.forward_backward(batch, totals).metrics.kl, 0);
}

TEST(Reference, OfItsOwnIsNotMoved) {
  auto student = adapted(1);
  LearnerConfig config;
  config.reference = std::make_shared<const Decoder>(student);
  Learner learner(student, config);
  EXPECT_THROW(learner.sync_reference(0.5), std::logic_error);
}

}  // namespace
}  // namespace pupil::testing
