#include "ops/cpu/kept_tokens.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <functional>

#include "ops/cpu/cpu_features.h"

namespace pupil::cpu {

namespace {

constexpr int kMinGroups = 256;  // for top-k
constexpr int kLimits = 8;       // for top-p

// All tokens below this score together have less than 1 - p of the probability: even
// `size` tokens of it would. The margin is far above the rounding of exp and log.
float mass_bound(const ScoreRow& row, float p, const RowSums& sums) {
  constexpr double kMargin = 0.01;  // nats
  double gap = std::log((1.0 - p) / row.size) + sums.log_sum - kMargin;
  double bound = sums.max + std::min(gap, 0.0);
  return std::nextafter(static_cast<float>(bound), -FLT_MAX);
}

float min_p_bound(float min_p, float max) {
  if (min_p <= 0.0f) return -FLT_MAX;
  return std::min(max + std::log(min_p), max);
}

}  // namespace

void KeptTokens::keep(const ScoreRow& row, const Truncation& t, const RowSums& sums) {
  bool ranked = t.top_k > 0 && t.top_k < row.size;
  float likely = min_p_bound(t.min_p, sums.max);
  double all = 0;
  if (ranked) {
    collect(row, rank_bound(row, t.top_k));
    keep_best(t.top_k);
  } else if (t.top_p < 1.0f) {
    all = collect_mass(row, t.top_p, sums, likely);
  } else {
    collect(row, likely);
  }
  kernels().exp_terms(scores_.data(), sums.max, exps_.data(), count_);
  if (t.top_p < 1.0f) keep_mass(t.top_p * (ranked ? total() : all));
  drop_below(likely);
}

double KeptTokens::total() const {
  double sum = 0;
  for (int i = 0; i < count_; ++i) sum += exps_[i];
  return sum;
}

void KeptTokens::collect(const ScoreRow& row, float least) {
  auto size = static_cast<size_t>(row.size);
  if (ids_.size() < size) {
    ids_.resize(size);
    scores_.resize(size);
    exps_.resize(size);
  }
  count_ = kernels().collect_tokens(row, least, ids_.data(), scores_.data());
}

// Collects from the highest of some scores between the bound and the maximum above
// which there is enough for top-p, and not what min-p drops anyhow. Returns the weight
// of all.
double KeptTokens::collect_mass(
    const ScoreRow& row, float p, const RowSums& sums, float likely) {
  constexpr double kSurely = 1.0001;  // what the weights above are rounded by, and more
  float least = mass_bound(row, p, sums);
  float limits[kLimits];
  for (int j = 0; j < kLimits; ++j) {
    double gap = static_cast<double>(sums.max) - least;
    limits[j] = static_cast<float>(least + gap * (j + 1) / (kLimits + 1));
  }
  double above[kLimits] = {};
  double total = kernels().weigh(row, sums.max, limits, kLimits, above);
  for (int j = 0; j < kLimits; ++j)
    if (above[j] >= p * total * kSurely) least = limits[j];
  collect(row, std::max(least, likely));
  return total;
}

std::span<Weighted> KeptTokens::weighted() {
  auto count = static_cast<size_t>(count_);
  if (weighted_.size() < count) weighted_.resize(count);
  return {weighted_.data(), count};
}

void KeptTokens::keep_best(int k) {
  auto items = weighted();
  for (int i = 0; i < count_; ++i) items[i] = {scores_[i], 1.0f};
  drop_below(score_reaching(items, k));
}

void KeptTokens::keep_mass(double goal) {
  auto items = weighted();
  for (int i = 0; i < count_; ++i) items[i] = {scores_[i], exps_[i]};
  drop_below(score_reaching(items, goal));
}

void KeptTokens::drop_below(float least) {
  int kept = 0;
  for (int i = 0; i < count_; ++i) {
    ids_[kept] = ids_[i];
    exps_[kept] = exps_[i];
    float score = scores_[i];
    scores_[kept] = score;
    kept += score >= least;
  }
  count_ = kept;
}

// A finite score that k tokens reach, or all finite ones: the k-th largest maximum of
// disjoint groups. With 4 k groups some 1.2 k tokens of a row in no order reach it.
float KeptTokens::rank_bound(const ScoreRow& row, int k) {
  int64_t groups = std::max<int64_t>(4 * static_cast<int64_t>(k), kMinGroups);
  if (2 * groups > row.size) return -FLT_MAX;
  auto& maxima = exps_;  // not in use yet
  if (maxima.size() < static_cast<size_t>(groups)) maxima.resize(groups);
  kernels().group_maxima(row, static_cast<int>(groups), maxima.data());
  auto kth = maxima.begin() + k - 1;
  std::nth_element(maxima.begin(), kth, maxima.begin() + groups, std::greater<>());
  return std::max(*kth, -FLT_MAX);
}

}  // namespace pupil::cpu
