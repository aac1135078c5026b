#include "ops/cpu/choose_token.h"

#include <algorithm>
#include <cmath>

#include "ops/cpu/cpu_features.h"
#include "ops/cpu/kept_tokens.h"

namespace pupil::cpu {

namespace {

constexpr int kBlock = 512;  // the cumulative sum is refined within one block

Choice greedy(const float* logits, int size) {
  auto sums = kernels().row_sums({logits, size, 1.0f});
  // Without a NaN the maximum is one of the logits.
  auto best_logit = std::isnan(sums.log_sum)
                        ? std::max_element(logits, logits + size)
                        : std::find(logits, logits + size, sums.max);
  int best = static_cast<int>(best_logit - logits);
  return {best, logits[best] - sums.max - sums.log_sum};
}

int most_likely(const ScoreRow& row, int begin, int end) {
  return static_cast<int>(
      std::max_element(row.logits + begin, row.logits + end) - row.logits);
}

// The first token of [begin, end) at which the sum of exp exceeds `goal`; the most
// likely one where rounding leaves the goal beyond all.
int scan(const ScoreRow& row, int begin, int end, double goal, float max) {
  double before = 0;
  for (int i = begin; i < end; ++i) {
    float gap = row.gap(i, max);
    if (gap < kLowestGap) continue;  // no mass
    before += std::exp(gap);
    if (before > goal) return i;
  }
  return most_likely(row, begin, end);
}

int draw_from_all(const ScoreRow& row, const RowSums& sums, float u) {
  double goal = u * std::exp(static_cast<double>(sums.log_sum));
  for (int begin = 0; begin < row.size; begin += kBlock) {
    int end = std::min(begin + kBlock, row.size);
    ScoreRow block{row.logits + begin, end - begin, row.inverse_temperature};
    double mass = kernels().row_exp_sum(block, sums.max);
    if (mass > goal) return scan(row, begin, end, goal, sums.max);
    goal -= mass;
  }
  return most_likely(row, 0, row.size);
}

// The last token of any mass if rounding leaves the goal beyond all.
int draw_from_kept(const KeptTokens& kept, float u) {
  double goal = u * kept.total(), before = 0;
  int last = 0;
  for (int i = 0; i < kept.count(); ++i) {
    if (kept.exps()[i] == 0.0f) continue;
    last = i;
    before += kept.exps()[i];
    if (before > goal) break;
  }
  return kept.ids()[last];
}

int draw_truncated(
    const ScoreRow& row, const Truncation& truncation, const RowSums& sums, float u) {
  thread_local KeptTokens kept;
  kept.keep(row, truncation, sums);
  return draw_from_kept(kept, u);
}

}  // namespace

Choice choose_token(
    const float* logits, int size, float u, const Truncation& truncation) {
  if (truncation.temperature == 0.0f) return greedy(logits, size);
  ScoreRow row{logits, size, 1.0f / truncation.temperature};
  auto sums = kernels().row_sums(row);
  if (!std::isfinite(sums.max) || !std::isfinite(sums.log_sum)) return {0, NAN};
  bool truncated = (truncation.top_k > 0 && truncation.top_k < size) ||
                   truncation.top_p < 1.0f || truncation.min_p > 0.0f;
  int token = truncated ? draw_truncated(row, truncation, sums, u)
                        : draw_from_all(row, sums, u);
  return {token, row.gap(token, sums.max) - sums.log_sum};
}

}  // namespace pupil::cpu
