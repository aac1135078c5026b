#include "ops/token_logprobs.h"

#include <gtest/gtest.h>
#include <cmath>

#include "ops/support.h"
#include "ops/token_stats.h"

namespace pupil {

namespace {

using ops_test::with_each_isa;

constexpr int kRows = 37, kWidth = 24, kVocabulary = 1003;

mx::array normal(const mx::Shape& shape, uint64_t seed) {
  return mx::random::normal(shape, mx::float32, mx::random::key(seed));
}

mx::array some_targets() {
  return mx::random::randint(0, kVocabulary, {kRows}, mx::int32, mx::random::key(3));
}

float largest_difference(const mx::array& a, const mx::array& b) {
  return mx::max(mx::abs(a - b)).item<float>();
}

// A head with a frozen weight [V, D].
HeadFn some_head() {
  auto weight = mx::transpose(normal({kVocabulary, kWidth}, 2));
  return [weight](const mx::array& h) { return mx::matmul(h, weight); };
}

mx::array plain_logprobs(const mx::array& hidden, float temperature) {
  auto logits = some_head()(hidden) / temperature;
  auto picked = mx::take_along_axis(logits, mx::expand_dims(some_targets(), 1), 1);
  return mx::squeeze(picked, 1) - mx::logsumexp(logits, 1);
}

mx::array plain_entropy(const mx::array& hidden, float temperature) {
  auto p = mx::softmax(some_head()(hidden) / temperature, -1, true);
  return -mx::sum(p * mx::log(p), -1);
}

using Loss = std::function<mx::array(const mx::array&)>;

// Gradient of sum_i w_i logprob_i.
mx::array gradient_of(const Loss& logprobs, const mx::array& hidden) {
  auto weights = normal({kRows}, 4);
  auto loss = [&](const mx::array& h) { return mx::sum(weights * logprobs(h)); };
  return mx::grad(loss)(hidden);
}

}  // namespace

TEST(TokenLogprobs, EqualThePlainFormula) {
  with_each_isa([] {
    auto hidden = normal({kRows, kWidth}, 1);
    for (float temperature : {1.0f, 0.7f}) {
      auto got = token_logprobs(hidden, some_targets(), some_head(), temperature, 8);
      EXPECT_LT(
          largest_difference(got.logprobs, plain_logprobs(hidden, temperature)), 2e-5);
      EXPECT_LT(
          largest_difference(got.entropy, plain_entropy(hidden, temperature)), 2e-5);
    }
  });
}

TEST(TokenLogprobs, GradientEqualsMlxs) {
  with_each_isa([] {
    auto hidden = normal({kRows, kWidth}, 1);
    auto ours = gradient_of(
        [](const mx::array& h) {
          return token_logprobs(h, some_targets(), some_head(), 0.7f, 8).logprobs;
        },
        hidden);
    auto plain =
        gradient_of([](const mx::array& h) { return plain_logprobs(h, 0.7f); }, hidden);
    EXPECT_GT(mx::max(mx::abs(plain)).item<float>(), 1.0f);
    EXPECT_LT(largest_difference(ours, plain), 5e-5);
  });
}

TEST(TokenLogprobs, ChunksChangeNothing) {
  auto hidden = normal({kRows, kWidth}, 1);
  auto whole = token_logprobs(hidden, some_targets(), some_head(), 1.0f);
  auto single = token_logprobs(hidden, some_targets(), some_head(), 1.0f, 1);
  EXPECT_LT(largest_difference(whole.logprobs, single.logprobs), 1e-5);
}

TEST(TokenLogprobs, EntropyHasNoGradient) {
  auto loss = [](const mx::array& h) {
    return mx::sum(token_logprobs(h, some_targets(), some_head(), 1.0f, 8).entropy);
  };
  auto gradient = mx::grad(Loss(loss))(normal({kRows, kWidth}, 1));
  EXPECT_EQ(mx::max(mx::abs(gradient)).item<float>(), 0.0f);
}

TEST(TokenLogprobs, KeepsTheModelsType) {
  auto head = [](const mx::array& h) {
    auto weight = mx::astype(normal({kWidth, kVocabulary}, 2), mx::bfloat16);
    return mx::matmul(h, weight);
  };
  auto hidden = mx::astype(normal({kRows, kWidth}, 1), mx::bfloat16);
  auto loss = [&](const mx::array& h) {
    return mx::sum(token_logprobs(h, some_targets(), head, 1.0f, 8).logprobs);
  };
  EXPECT_EQ(mx::grad(Loss(loss))(hidden).dtype(), mx::bfloat16);
  EXPECT_EQ(
      token_logprobs(hidden, some_targets(), head, 1.0f).logprobs.dtype(), mx::float32);
}

TEST(TokenLogprobs, NoRowsAreNoTrouble) {
  auto got = token_logprobs(
      mx::zeros({0, kWidth}), mx::zeros({0}, mx::int32), some_head(), 1.0f);
  EXPECT_EQ(got.logprobs.shape(), (mx::Shape{0}));
}

TEST(TokenStats, KernelEqualsItsFallback) {
  with_each_isa([] {
    auto logits = 12.0f * normal({kRows, kVocabulary}, 5);
    auto kernel = token_stats(logits, some_targets(), 0.8f, true);
    auto plain = token_stats_fallback(logits, some_targets(), 0.8f, true);
    EXPECT_LT(largest_difference(kernel.logprobs, plain.logprobs), 2e-5);
    EXPECT_LT(largest_difference(kernel.entropy, plain.entropy), 1e-5);
    // Logits reach 40, where a float32 is exact to 4e-6.
    EXPECT_LT(largest_difference(*kernel.gradient, *plain.gradient), 5e-6);
  });
}

TEST(TokenStats, TakesStridedAndBroadcastInputs) {
  auto logits = mx::transpose(normal({kVocabulary, kRows}, 6));
  auto repeated = mx::broadcast_to(normal({1, kVocabulary}, 7), {kRows, kVocabulary});
  for (const auto& x : {logits, repeated}) {
    auto kernel = token_stats(x, some_targets(), 1.0f, false);
    auto plain = token_stats_fallback(x, some_targets(), 1.0f, false);
    EXPECT_LT(largest_difference(kernel.logprobs, plain.logprobs), 1e-5);
  }
}

TEST(TokenStats, MinusInfinityIsAnImpossibleToken) {
  with_each_isa([] {
    float row[] = {0.0f, -INFINITY, 0.0f};
    auto logits = mx::array(row, {1, 3}, mx::float32);
    auto stats = token_stats(logits, mx::array({0}), 1.0f, true);
    EXPECT_NEAR(stats.logprobs.item<float>(), -std::log(2.0f), 1e-6);
    EXPECT_NEAR(stats.entropy.item<float>(), std::log(2.0f), 1e-6);
    auto impossible = token_stats(logits, mx::array({1}), 1.0f, false);
    EXPECT_EQ(impossible.logprobs.item<float>(), -INFINITY);
  });
}

TEST(TokenStats, BrokenLogitsGiveNoNumbers) {
  with_each_isa([] {
    for (float broken : {NAN, INFINITY}) {
      std::vector<float> row(40, 0.5f);
      row[17] = broken;
      auto logits = mx::array(row.data(), {1, 40}, mx::float32);
      auto stats = token_stats(logits, mx::array({3}), 1.0f, false);
      EXPECT_TRUE(std::isnan(stats.logprobs.item<float>()));
      EXPECT_TRUE(std::isnan(stats.entropy.item<float>()));
    }
  });
}

}  // namespace pupil
