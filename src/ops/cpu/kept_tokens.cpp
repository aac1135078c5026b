#include "ops/cpu/kept_tokens.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <functional>

#include "ops/all_isas.h"
#include "ops/cpu/cpu_features.h"

namespace pupil::cpu {

namespace {

constexpr int kSpan = 64;        // tokens that are looked at together
constexpr int kMinGroups = 256;  // for top-k
constexpr int kLimits = 8;       // for top-p
constexpr int kBlock = 512;      // tokens that are weighed together
constexpr int kLanes = 16;       // of the float64 sum

// maxima[j] of the tokens j, j + groups, j + 2 groups, ...; what is left over at the
// end of the row belongs to no group.
PUPIL_ALL_ISAS void group_maxima(const ScoreRow& row, int groups, float* maxima) {
  for (int j = 0; j < groups; ++j) maxima[j] = row.at(j);
  for (int begin = groups; begin + groups <= row.size; begin += groups) {
    for (int j = 0; j < groups; ++j) {
      float x = row.at(begin + j);
      maxima[j] = x > maxima[j] ? x : maxima[j];
    }
  }
}

// Writes the tokens of at least this score; `ids` and `scores` have room for the row.
PUPIL_ALL_ISAS int collect_tokens(
    const ScoreRow& row, float least, int* ids, float* scores) {
  int count = 0;
  for (int begin = 0; begin < row.size; begin += kSpan) {
    int end = begin + kSpan < row.size ? begin + kSpan : row.size;
    int any = 0;
    for (int i = begin; i < end; ++i) any |= row.at(i) >= least;
    if (!any) continue;
    for (int i = begin; i < end; ++i) {
      float x = row.at(i);
      ids[count] = i;
      scores[count] = x;
      count += x >= least;
    }
  }
  return count;
}

// All tokens below this score together have less than 1 - p of the probability: even
// `size` tokens of it would. The margin is far above the rounding of exp and log.
float mass_bound(const ScoreRow& row, float p, const RowSums& sums) {
  constexpr double kMargin = 0.01;  // nats
  double gap = std::log((1.0 - p) / row.size) + sums.log_sum - kMargin;
  double bound = sums.max + std::min(gap, 0.0);
  return std::nextafter(static_cast<float>(bound), -FLT_MAX);
}

PUPIL_ALL_ISAS void scale(const ScoreRow& row, int begin, int count, float* scores) {
  for (int i = 0; i < count; ++i) scores[i] = row.at(begin + i);
}

// `lanes` [kLanes] += terms [count, a multiple of kLanes].
PUPIL_ALL_ISAS void add_terms(const float* terms, int count, double* lanes) {
  for (int i = 0; i < count; i += kLanes)
    for (int l = 0; l < kLanes; ++l) lanes[l] += terms[i + l];
}

struct Weights {
  double total = 0;            // of all terms
  double above[kLimits] = {};  // of those of scores >= limits[j], to one part in 10^5
};

Weights weigh(const ScoreRow& row, float max, const float* limits) {
  Weights weights;
  double lanes[kLanes] = {};
  float scores[kBlock], terms[kBlock];
  for (int begin = 0; begin < row.size; begin += kBlock) {
    int count = std::min(kBlock, row.size - begin);
    scale(row, begin, count, scores);
    kernels().exp_terms(scores, max, terms, count);
    kernels().weigh_above(scores, terms, count, limits, kLimits, weights.above);
    while (count % kLanes != 0) terms[count++] = 0.0f;
    add_terms(terms, count, lanes);
  }
  for (double lane : lanes) weights.total += lane;
  return weights;
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
  count_ = collect_tokens(row, least, ids_.data(), scores_.data());
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
  auto weights = weigh(row, sums.max, limits);
  for (int j = 0; j < kLimits; ++j)
    if (weights.above[j] >= p * weights.total * kSurely) least = limits[j];
  collect(row, std::max(least, likely));
  return weights.total;
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
  group_maxima(row, static_cast<int>(groups), maxima.data());
  auto kth = maxima.begin() + k - 1;
  std::nth_element(maxima.begin(), kth, maxima.begin() + groups, std::greater<>());
  return std::max(*kth, -FLT_MAX);
}

}  // namespace pupil::cpu
