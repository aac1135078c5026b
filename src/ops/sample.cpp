#include "ops/sample.h"

#include <cmath>
#include <limits>

#include "ops/cpu/arrays.h"
#include "ops/cpu/sample_primitive.h"
#include "ops/token_logprobs.h"

namespace pupil {

namespace {

const mx::array& minus_infinity() {
  static const mx::array value(-std::numeric_limits<float>::infinity());
  return value;
}

// Scores below the k-th largest of their row become -inf.
mx::array keep_top_k(const mx::array& scores, int k) {
  if (k <= 0 || k >= scores.shape(1)) return scores;
  auto least = mx::min(mx::topk(scores, k, 1), 1, true);
  return mx::where(scores >= least, scores, minus_infinity());
}

// Keeps the smallest set of most likely tokens whose probability reaches p.
mx::array keep_top_p(const mx::array& scores, float p) {
  if (p >= 1.0f) return scores;
  auto ascending = mx::sort(mx::softmax(scores, -1, true), 1);
  auto up_to = mx::cumsum(ascending, 1);  // mass of a token and all less likely ones
  auto kept = mx::where(up_to > 1.0f - p, ascending, mx::array(2.0f));
  auto least = mx::min(kept, 1, true);
  return mx::where(mx::softmax(scores, -1, true) >= least, scores, minus_infinity());
}

// Drops tokens less likely than min_p times the most likely one.
mx::array keep_min_p(const mx::array& scores, float min_p) {
  if (min_p <= 0.0f) return scores;
  auto least = mx::max(scores, 1, true) + std::log(min_p);
  return mx::where(scores >= least, scores, minus_infinity());
}

// The first token at which the cumulative probability exceeds u.
mx::array inverse_cdf(const mx::array& scores, const mx::array& uniforms) {
  auto cumulative = mx::cumsum(mx::softmax(scores, -1, true), 1);
  auto total = mx::max(cumulative, 1, true);
  auto below = cumulative <= mx::expand_dims(uniforms, 1) * total;
  auto index = mx::sum(mx::astype(below, mx::int32), 1);
  // Rounding may leave u * total at the total itself: then the last possible token.
  auto last = mx::argmax(cumulative, 1);
  return mx::minimum(index, mx::astype(last, mx::int32));
}

}  // namespace

SampledTokens sample_tokens(
    const mx::array& logits, const mx::array& uniforms, const Truncation& truncation) {
  if (cpu::on_cpu()) return cpu::sample_tokens_fused(logits, uniforms, truncation);
  return sample_tokens_fallback(logits, uniforms, truncation);
}

SampledTokens sample_tokens_fallback(
    const mx::array& logits, const mx::array& uniforms, const Truncation& truncation) {
  if (logits.shape(0) == 0) return {mx::zeros({0}, mx::int32), mx::zeros({0})};
  auto scores = mx::astype(logits, mx::float32);
  if (truncation.temperature == 0.0f) {
    auto tokens = mx::astype(mx::argmax(scores, 1), mx::int32);
    return {tokens, logprobs_of(scores, tokens, 1.0f)};
  }
  auto scaled = scores * (1.0f / truncation.temperature);
  auto kept = keep_top_k(scaled, truncation.top_k);
  kept = keep_top_p(kept, truncation.top_p);
  kept = keep_min_p(kept, truncation.min_p);
  auto tokens = inverse_cdf(kept, uniforms);
  return {tokens, logprobs_of(scores, tokens, truncation.temperature)};
}

}  // namespace pupil
