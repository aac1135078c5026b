#include "ops/sample.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "ops/support.h"
#include "ops/token_logprobs.h"

namespace pupil {
namespace {

using ops_test::with_each_isa;

constexpr int kDraws = 4000;

// How often each token comes out of `kDraws` equally spaced uniforms.
std::vector<double> frequencies(
    std::vector<float> logits, const Truncation& truncation) {
  int V = static_cast<int>(logits.size());
  auto row = mx::array(logits.data(), {1, V}, mx::float32);
  auto rows = mx::broadcast_to(row, {kDraws, V});
  auto uniforms = (mx::arange(kDraws) + 0.5f) / static_cast<float>(kDraws);
  auto tokens =
      sample_tokens(rows, mx::astype(uniforms, mx::float32), truncation).tokens;
  tokens.eval();
  std::vector<double> counts(logits.size(), 0.0);
  for (int i = 0; i < kDraws; ++i) counts[tokens.data<int>()[i]] += 1.0 / kDraws;
  return counts;
}

std::vector<double> softmax(const std::vector<float>& logits, double temperature) {
  std::vector<double> p;
  for (float x : logits) p.push_back(std::exp(x / temperature));
  double total = std::accumulate(p.begin(), p.end(), 0.0);
  for (auto& x : p) x /= total;
  return p;
}

// Keeps these tokens of a distribution.
std::vector<double> only(std::vector<double> p, const std::vector<int>& kept) {
  double total = 0;
  for (int i : kept) total += p[i];
  std::vector<double> out(p.size(), 0.0);
  for (int i : kept) out[i] = p[i] / total;
  return out;
}

void expect_distribution(
    const std::vector<double>& actual, const std::vector<double>& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i], 1.5 / kDraws + 1e-4) << i;
  }
}

const std::vector<float> kLogits = {0.5f, 2.0f, -1.0f, 1.0f, 0.0f, -3.0f};

TEST(Sample, FollowsTheSoftmax) {
  with_each_isa([] {
    for (float temperature : {0.5f, 1.0f, 2.0f}) {
      expect_distribution(
          frequencies(kLogits, {temperature}), softmax(kLogits, temperature));
    }
  });
}

// Scores of 10^6 and more are rounded by whole nats, their differences are not.
TEST(Sample, AtLowTemperaturesNothingWithoutMassIsDrawn) {
  with_each_isa([] {
    constexpr int kTokens = 1000;
    std::vector<float> logits(kTokens);
    for (int i = 0; i < kTokens; ++i)
      logits[i] = i % 500 < 400 ? 30.0f + 0.001f * std::sin(7.0f * i) : 0.0f;
    auto row = mx::array(logits.data(), {1, kTokens}, mx::float32);
    auto rows = mx::broadcast_to(row, {kDraws, kTokens});
    auto uniforms = mx::astype((mx::arange(kDraws) + 0.5f) / kDraws, mx::float32);
    for (float temperature : {0.1f, 1e-2f, 1e-3f, 1e-5f, 1e-6f}) {
      auto [tokens, logprobs] = sample_tokens(rows, uniforms, {temperature});
      auto lowest = mx::min(mx::take(mx::reshape(row, {kTokens}), tokens));
      EXPECT_GT(lowest.item<float>(), 29.0f) << temperature;
      EXPECT_LE(mx::max(logprobs).item<float>(), 0.0f) << temperature;
      EXPECT_GT(mx::min(logprobs).item<float>(), -90.0f) << temperature;
      EXPECT_TRUE(mx::array_equal(logprobs, logprobs_of(rows, tokens, temperature))
                      .item<bool>())
          << temperature;
    }
  });
}

TEST(Sample, TopKKeepsTheMostLikely) {
  with_each_isa([] {
    auto p = softmax(kLogits, 1.0);
    expect_distribution(frequencies(kLogits, {1.0f, 2}), only(p, {1, 3}));
    expect_distribution(frequencies(kLogits, {1.0f, 100}), p);
  });
}

TEST(Sample, TopPKeepsTheSmallestSetThatReachesP) {
  with_each_isa([] {
    auto p = softmax(kLogits, 1.0);  // sorted: 1 (.55), 3 (.20), 0 (.12), 4 (.07) ...
    expect_distribution(frequencies(kLogits, {1.0f, 0, 0.5f}), only(p, {1}));
    expect_distribution(frequencies(kLogits, {1.0f, 0, 0.6f}), only(p, {1, 3}));
    expect_distribution(frequencies(kLogits, {1.0f, 0, 0.85f}), only(p, {0, 1, 3}));
  });
}

TEST(Sample, MinPDropsTheUnlikely) {
  with_each_isa([] {
    auto p = softmax(kLogits, 1.0);
    expect_distribution(frequencies(kLogits, {1.0f, 0, 1.0f, 0.3f}), only(p, {1, 3}));
  });
}

TEST(Sample, TruncationsApplyInOrder) {
  auto p = softmax(kLogits, 1.0);
  // top-k leaves {1, 3, 0}; top-p 0.9 of what is left needs all three, min-p drops 0.
  expect_distribution(frequencies(kLogits, {1.0f, 3, 0.9f, 0.3f}), only(p, {1, 3}));
}

TEST(Sample, GreedyTakesTheFirstOfTheBest) {
  with_each_isa([] {
    auto logits = mx::array({1.0f, 3.0f, 3.0f, 2.0f}, {1, 4});
    auto sampled = sample_tokens(logits, mx::array({0.9f}), {0.0f});
    EXPECT_EQ(sampled.tokens.item<int>(), 1);
    auto expected = logprobs_of(logits, mx::array({1}), 1.0f).item<float>();
    EXPECT_FLOAT_EQ(sampled.logprobs.item<float>(), expected);
  });
}

TEST(Sample, LogprobsAreBeforeTruncationAndWithTemperature) {
  auto logits = mx::array(kLogits.data(), {1, 6}, mx::float32);
  auto sampled = sample_tokens(logits, mx::array({0.3f}), {0.5f, 1});
  EXPECT_EQ(sampled.tokens.item<int>(), 1);
  EXPECT_NEAR(sampled.logprobs.item<float>(), std::log(softmax(kLogits, 0.5)[1]), 1e-5);
}

TEST(Sample, NeverDrawsAnImpossibleToken) {
  with_each_isa([] {
    float inf = std::numeric_limits<float>::infinity();
    auto logits = mx::array({-inf, 0.0f, -inf, 0.0f, -inf}, {1, 5});
    for (float u : {0.0f, 0.25f, 0.5f, 0.99999994f}) {
      int token = sample_tokens(logits, mx::array({u}), {}).tokens.item<int>();
      EXPECT_TRUE(token == 1 || token == 3) << u << " gave " << token;
    }
  });
}

// The CPU's way of drawing, against the definition, over a vocabulary of odd size.
TEST(Sample, KernelDrawsWhatTheDefinitionDraws) {
  with_each_isa([] {
    int R = 64, V = 5003;
    auto logits =
        mx::random::normal({R, V}, mx::float32, 0.0f, 3.0f, mx::random::key(1));
    auto uniforms =
        mx::random::uniform(0.0f, 1.0f, {R}, mx::float32, mx::random::key(2));
    std::vector<Truncation> truncations = {
        {0.0f},
        {1.0f},
        {0.7f, 50},
        {1.0f, 0, 0.9f},
        {1.3f, 0, 1.0f, 0.02f},
        {1, 40, 0.8f, 0.1f}};
    for (const auto& t : truncations) {
      auto fast = sample_tokens(logits, uniforms, t);
      auto plain = sample_tokens_fallback(logits, uniforms, t);
      // Sums of thousands of float32 differ in the last bits: a draw may fall one
      // aside.
      int same = mx::sum(mx::equal(fast.tokens, plain.tokens)).item<int>();
      EXPECT_GE(same, R - 1);
      auto agree = mx::equal(fast.tokens, plain.tokens);
      auto gap =
          mx::where(agree, mx::abs(fast.logprobs - plain.logprobs), mx::array(0.0f));
      EXPECT_LT(mx::max(gap).item<float>(), 1e-5f);
    }
  });
}

}  // namespace
}  // namespace pupil
