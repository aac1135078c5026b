// A reference of its own: another model, or the student under a fixed adapter.

#include <gtest/gtest.h>

#include <cmath>

#include "algo/kl.h"
#include "models/attend.h"
#include "models/lora.h"
#include "ops/host_values.h"
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

// log softmax of the model after `prompt`. [V]
std::vector<float> distribution_after(
    const Decoder& model, const std::vector<int>& prompt, float temperature) {
  int length = static_cast<int>(prompt.size());
  mx::array tokens(prompt.data(), {1, length}, mx::int32);
  auto last = mx::take(sequence_hidden(model, tokens), length - 1, 1);  // [1, D]
  auto logits = model.head(last) / mx::array(temperature);
  return host_values(logits - mx::logsumexp(logits, 1, true));
}

// Every token of the vocabulary as a completion of one token.
Microbatch every_token(const std::vector<int>& prompt, int vocabulary) {
  RolloutGroup group;
  group.prompt.tokens = prompt;
  for (int token = 0; token < vocabulary; ++token) {
    auto& rollout = group.rollouts.emplace_back();
    rollout.completion.tokens = {token};
    rollout.completion.logprobs = {-1.0f};
    rollout.reward = rollout.advantage = 1;
  }
  return pack(std::vector<RolloutGroup>{group}, {}).at(0);
}

// The learner's estimates, weighted by the policy, are the divergence of the two
// distributions: KL(p || q) = sum p k1 = sum p k3.
TEST(Reference, KlEstimatesSumToTheDivergenceOverTheVocabulary) {
  auto student = adapted(1);
  const std::vector<int> prompt = {3, 14, 15, 9};
  for (float temperature : {1.0f, 0.7f}) {
    LearnerConfig config;
    config.temperature = temperature;
    Learner learner(student, config);
    auto batch = every_token(prompt, student.config.vocab_size);
    auto logp = learner.logprobs(batch).logprobs;
    auto d = learner.reference_logprobs(batch) - logp;
    auto p = distribution_after(student, prompt, temperature);
    auto q = distribution_after(without_lora(student), prompt, temperature);
    double kl = 0;
    for (size_t i = 0; i < p.size(); ++i) kl += std::exp(p[i]) * (p[i] - q[i]);
    EXPECT_GT(kl, 0.01);
    for (auto estimator : {KlEstimator::k1, KlEstimator::k3}) {
      auto sum = mx::sum(mx::exp(logp) * kl_estimate(d, estimator)).item<float>();
      EXPECT_NEAR(sum, kl, 1e-5 * std::max(1.0, kl)) << temperature;
    }
  }
}

}  // namespace
}  // namespace pupil::testing
