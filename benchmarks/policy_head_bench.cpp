// From hidden states to tokens and their log-probabilities.

#include "benches.h"
#include "cases.h"
#include "ops/sample.h"
#include "ops/token_entropy.h"
#include "ops/token_logprobs.h"
#include "ops/token_stats.h"
#include "weights.h"

namespace pupil::bench {
namespace {

constexpr int kRows = 128;       // of a training microbatch
constexpr int kSampledRows = 8;  // of a decode step

// Logits of a spread such that a few thousand tokens hold most of the probability.
mx::array logits(int rows) {
  auto x = mx::array(3.0f) *
           mx::random::normal({rows, kVocab}, mx::float32, mx::random::key(rows));
  x.eval();
  return x;
}

// The fallback holds the head dense and the logits of all rows at once.
void add_logprobs(bool backward) {
  double products = 1.0 * kRows * kWidth * kVocab;
  Case c{
      std::string("token_logprobs/q8/128_rows") + (backward ? "/to_hidden" : ""),
      {.dot16 = (backward ? 4 : 2) * products,
       .bytes = weight_bytes(kWidth, kVocab, 8)},
      {},
      {}};
  int differentiated = backward ? 1 : 0;
  c.ours = [=](int) {
    auto head = [w = kept_weight(kWidth, kVocab, 8)](const mx::array& hidden) {
      return quantized_linear(hidden, w);
    };
    auto op = [=](const Arrays& v) {
      return Arrays{token_logprobs(v[0], v[1], head, 1.0f).logprobs};
    };
    return call_of(op, {numbers({kRows, kWidth}), ids(kRows, kVocab)}, differentiated);
  };
  c.fallback = [=](int) {
    auto op = [](const Arrays& v) {
      auto all = mx::matmul(v[0], mx::transpose(v[2]));
      return Arrays{token_stats_fallback(all, v[1], 1.0f, false).logprobs};
    };
    auto dense = dequantized(plain_weight(kWidth, kVocab, 8));
    dense.eval();
    return call_of(
        op, {numbers({kRows, kWidth}), ids(kRows, kVocab), dense}, differentiated);
  };
  add_case(std::move(c));
}

// With a gradient the head's logits are computed twice, besides the way back. The
// fallback holds all logits at once.
void add_entropy(bool backward) {
  double products = 1.0 * kRows * kWidth * kVocab;
  Case c{
      std::string("token_entropy/q8/128_rows") + (backward ? "/to_hidden" : ""),
      {.dot16 = (backward ? 6 : 2) * products,
       .bytes = weight_bytes(kWidth, kVocab, 8)},
      {},
      {}};
  auto head = [](const mx::array& hidden) {
    return quantized_linear(hidden, kept_weight(kWidth, kVocab, 8));
  };
  auto side = [=](const Op& op) {
    return
        [=](int) { return call_of(op, {numbers({kRows, kWidth})}, backward ? 1 : 0); };
  };
  c.ours = side([=](const Arrays& v) {
    return Arrays{token_entropy(v[0], head, 1.0f, kRows / 2)};
  });
  c.fallback = side([=](const Arrays& v) {
    auto logits = head(v[0]);
    auto log_p = logits - mx::logsumexp(logits, -1, true);
    return Arrays{-mx::sum(mx::exp(log_p) * log_p, -1)};
  });
  add_case(std::move(c));
}

using StatsOp = TokenStats (*)(const mx::array&, const mx::array&, float, bool);

void add_stats(bool with_gradient) {
  auto op = [=](StatsOp stats) {
    return [=](const Arrays& v) {
      auto result = stats(v[0], v[1], 1.0f, with_gradient);
      Arrays all = {result.logprobs, result.entropy};
      if (with_gradient) all.push_back(*result.gradient);
      return all;
    };
  };
  add_op(
      {.name =
           std::string("token_stats/128x49152") + (with_gradient ? "/gradient" : ""),
       .work = {.bytes = (with_gradient ? 2 : 1) * 4.0 * kRows * kVocab},
       .inputs = [] { return Arrays{logits(kRows), ids(kRows, kVocab)}; },
       .ours = op(token_stats),
       .fallback = op(token_stats_fallback),
       .slow_fallback = true});
}

using SampleOp =
    SampledTokens (*)(const mx::array&, const mx::array&, const Truncation&);

void add_sampling(const std::string& name, const Truncation& truncation) {
  auto op = [=](SampleOp sample) {
    return [=](const Arrays& v) {
      auto sampled = sample(v[0], v[1], truncation);
      return Arrays{sampled.tokens, sampled.logprobs};
    };
  };
  add_op(
      {.name = "sample_tokens/8x49152/" + name,
       .work = {.bytes = 4.0 * kSampledRows * kVocab},
       .inputs =
           [] {
             auto uniforms = mx::abs(numbers({kSampledRows}));
             uniforms.eval();
             return Arrays{logits(kSampledRows), uniforms};
           },
       .ours = op(sample_tokens),
       .fallback = op(sample_tokens_fallback),
       .slow_fallback = true});
}

}  // namespace

void add_policy_head() {
  for (bool backward : {false, true}) {
    add_logprobs(backward);
    add_entropy(backward);
  }
  for (bool with_gradient : {false, true}) add_stats(with_gradient);
  add_sampling("greedy", {.temperature = 0});
  add_sampling("temperature", {});
  add_sampling("top_k_50", {.top_k = 50});
  add_sampling("top_p_0.95", {.top_p = 0.95f});
  add_sampling("min_p_0.05", {.min_p = 0.05f});
  add_sampling("all_three", {.top_k = 50, .top_p = 0.95f, .min_p = 0.05f});
}

}  // namespace pupil::bench
