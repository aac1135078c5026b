#include "ops/cpu/choose_token.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "ops/row_softmax.h"

namespace pupil::cpu {

namespace {

constexpr int kBlock = 512;  // the cumulative sum is refined within one block

struct Row {
  const float* logits;
  int size;
  float inverse_temperature;

  float at(int i) const { return logits[i] * inverse_temperature; }
};

Choice greedy(const float* logits, int size) {
  int best = static_cast<int>(std::max_element(logits, logits + size) - logits);
  auto sums = row_sums(logits, size, 1.0f);
  return {best, logits[best] - sums.max - sums.log_sum};
}

// The first token of [begin, end) at which `before` plus the sum of exp exceeds `goal`,
// counting only scores of at least `least`.
int scan(
    const Row& row,
    int begin,
    int end,
    double before,
    double goal,
    float max,
    float least) {
  int last = begin;
  for (int i = begin; i < end; ++i) {
    float x = row.at(i);
    if (!(x >= least) || x == -INFINITY) continue;
    last = i;  // rounding may leave the goal beyond the last possible token
    before += std::exp(x - max);
    if (before > goal) break;
  }
  return last;
}

int draw_from_all(const Row& row, const RowSums& sums, float u) {
  double goal = u * std::exp(static_cast<double>(sums.log_sum)), before = 0;
  int last = 0;  // the last block with any mass
  double before_last = 0;
  for (int begin = 0; begin < row.size; begin += kBlock) {
    int count = std::min(kBlock, row.size - begin);
    double mass =
        row_exp_sum(row.logits + begin, count, row.inverse_temperature, sums.max);
    if (mass > 0) last = begin, before_last = before;
    before += mass;
    if (before > goal) break;
  }
  int end = std::min(last + kBlock, row.size);
  return scan(row, last, end, before_last, goal, sums.max, -INFINITY);
}

// Sorted scores, best first, of the tokens that top-k leaves.
std::vector<float> best_scores(const Row& row, int top_k) {
  std::vector<float> scores(row.size);
  for (int i = 0; i < row.size; ++i) scores[i] = row.at(i);
  if (top_k > 0 && top_k < row.size) {
    auto kth = scores.begin() + top_k - 1;
    std::nth_element(scores.begin(), kth, scores.end(), std::greater<>());
    float least = *kth;
    scores.erase(
        std::remove_if(
            scores.begin(), scores.end(), [=](float x) { return x < least; }),
        scores.end());
  }
  std::sort(scores.begin(), scores.end(), std::greater<>());
  return scores;
}

// The smallest score that the truncation keeps.
float least_kept(const Row& row, const Truncation& t, float max) {
  auto scores = best_scores(row, t.top_k);
  if (t.top_p < 1.0f) {
    double total = 0, mass = 0;
    for (float x : scores) total += std::exp(x - max);
    size_t kept = 0;
    while (kept < scores.size() && mass < t.top_p * total) {
      mass += std::exp(scores[kept++] - max);
    }
    scores.resize(std::max<size_t>(kept, 1));
  }
  float least = scores.back();
  if (t.min_p > 0.0f) least = std::max(least, max + std::log(t.min_p));
  return least;
}

int draw_from_kept(const Row& row, float least, float max, float u) {
  double total = 0;
  for (int i = 0; i < row.size; ++i) {
    if (row.at(i) >= least) total += std::exp(row.at(i) - max);
  }
  return scan(row, 0, row.size, 0, u * total, max, least);
}

}  // namespace

Choice choose_token(
    const float* logits, int size, float u, const Truncation& truncation) {
  if (truncation.temperature == 0.0f) return greedy(logits, size);
  Row row{logits, size, 1.0f / truncation.temperature};
  auto sums = row_sums(logits, size, row.inverse_temperature);
  if (!std::isfinite(sums.max) || !std::isfinite(sums.log_sum)) return {0, NAN};
  bool truncated = (truncation.top_k > 0 && truncation.top_k < size) ||
                   truncation.top_p < 1.0f || truncation.min_p > 0.0f;
  int token = truncated ? draw_from_kept(
                              row, least_kept(row, truncation, sums.max), sums.max, u)
                        : draw_from_all(row, sums, u);
  return {token, row.at(token) - sums.max - sums.log_sum};
}

}  // namespace pupil::cpu
