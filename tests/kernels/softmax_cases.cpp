// The softmax of a row of logits, and the search for its largest scores.

#include <algorithm>
#include <cmath>

#include "kernels/kernel_cases.h"
#include "kernels/numbers.h"

namespace pupil::kernel_cases {
namespace {

constexpr double kLeast = 1e-30;  // of a scale

/// Logits of -16 to 16, some impossible, at a temperature.
struct Row {
  std::vector<float> logits;
  float inverse_temperature = 0.7f;

  explicit Row(int64_t n) : logits(Numbers(n).values(n)) {
    for (auto& x : logits) x *= 8;
    for (int64_t i = 5; i < n; i += 11) logits[i] = -INFINITY;
  }

  int64_t size() const { return static_cast<int64_t>(logits.size()); }
  cpu::ScoreRow view() const {
    return {logits.data(), static_cast<int>(logits.size()), inverse_temperature};
  }
  float score(int64_t i) const { return logits[i] * inverse_temperature; }
  float max() const {
    float most = -INFINITY;
    for (int64_t i = 0; i < size(); ++i) most = std::max(most, score(i));
    return most;
  }
  // Without the rounding of a score.
  double gap(int64_t i) const {
    return static_cast<double>(logits[i]) * inverse_temperature - max();
  }
  double exp_sum() const {
    double sum = 0;
    for (int64_t i = 0; i < size(); ++i) sum += std::exp(gap(i));
    return sum;
  }
  std::string name(const char* what) const {
    return std::string(what) + "/" + std::to_string(size());
  }
};

// A score is rounded to 2^-24 of itself where multiply-adds round twice.
constexpr double kTolerance = 2e-6;

Outcome row_sums(const cpu::KernelTable& table, const Row& row) {
  double sum = row.exp_sum(), gaps = 0;
  for (int64_t i = 0; i < row.size(); ++i)
    if (std::isfinite(row.logits[i])) gaps += std::exp(row.gap(i)) * row.gap(i) / sum;
  auto [max, log_sum, mean_gap] = table.row_sums(row.view());
  Outcome o{row.name("row_sums"), {max, log_sum, mean_gap}, {}, {}, kTolerance};
  o.expected = {row.max(), std::log(sum), gaps};
  o.scale = {1e-9, 1, 1};
  return o;
}

Outcome row_exp_sum(const cpu::KernelTable& table, const Row& row) {
  Outcome o{row.name("row_exp_sum"), {}, {row.exp_sum()}, {}, kTolerance};
  o.found = {table.row_exp_sum(row.view(), row.max())};
  o.scale = {row.exp_sum()};
  return o;
}

Outcome negative_softmax(const cpu::KernelTable& table, const Row& row) {
  Outcome o{row.name("negative_softmax"), row.logits, {}, {}, kTolerance};
  auto sums = table.row_sums(row.view());
  cpu::ScoreRow in_place{
      o.found.data(), static_cast<int>(row.size()), row.inverse_temperature};
  table.negative_softmax(in_place, sums, o.found.data());
  for (int64_t i = 0; i < row.size(); ++i) {
    double p = std::exp(row.gap(i)) / row.exp_sum();
    o.expected.push_back(-row.inverse_temperature * p);
    o.scale.push_back(p + kLeast);
  }
  return o;
}

// One logit that is NaN or +inf leaves no number.
Outcome unfit_row(const cpu::KernelTable& table, float bad) {
  Row row(100);
  row.logits[37] = bad;
  auto sums = table.row_sums(row.view());
  Outcome o{"row_sums/unfit/" + std::to_string(bad), {}, {NAN, NAN}, {1, 1}};
  o.found = {sums.log_sum, sums.mean_gap};
  return o;
}

// Down to where a term is 0, and values that are none.
Outcome exp_terms(const cpu::KernelTable& table, int64_t n) {
  auto scores = Numbers(n).values(n);
  for (auto& x : scores) x = 25 * x - 50;  // -100 to 0
  if (n > 20) scores[7] = -INFINITY, scores[12] = NAN;
  Outcome o{"exp_terms/" + std::to_string(n), {}, {}, {}, 5e-7};
  o.found.resize(n);
  table.exp_terms(scores.data(), 1.5f, o.found.data(), n);
  for (float score : scores) {
    float gap = score - 1.5f;
    o.expected.push_back(gap < -87.3f ? 0 : std::exp(static_cast<double>(gap)));
    o.scale.push_back(std::isnan(gap) ? 1 : o.expected.back() + 1e-45);
  }
  return o;
}

// Sums run lane by lane: their bits are an instruction set's own.
Outcome weigh(const cpu::KernelTable& table, const Row& row) {
  const float limits[] = {-INFINITY, -5, 0, row.score(0), 6.5f, row.max(), 100};
  constexpr int kLimits = std::size(limits);
  std::vector<double> sums(kLimits);
  double total = table.weigh(row.view(), row.max(), limits, kLimits, sums.data());
  Outcome o{row.name("weigh"), {}, {}, {}, 1e-5, false};
  o.found.assign(sums.begin(), sums.end());
  o.found.push_back(static_cast<float>(total));
  for (float limit : limits) {
    double sum = 0;
    for (int64_t i = 0; i < row.size(); ++i)
      if (row.score(i) >= limit) sum += std::exp(row.gap(i));
    o.expected.push_back(sum);
  }
  o.expected.push_back(row.exp_sum());
  for (double sum : o.expected) o.scale.push_back(sum + kLeast);
  return o;
}

Outcome group_maxima(const cpu::KernelTable& table, const Row& row, int groups) {
  Outcome o{row.name("group_maxima") + "/" + std::to_string(groups), {}, {}, {}};
  o.found.resize(groups);
  table.group_maxima(row.view(), groups, o.found.data());
  int64_t whole = row.size() / groups * groups;
  for (int64_t j = 0; j < groups; ++j) {
    float most = -INFINITY;
    for (int64_t i = j; i < whole; i += groups) most = std::max(most, row.score(i));
    o.expected.push_back(most);
  }
  o.scale.assign(groups, 1);
  return o;
}

// Ids and scores, one behind the other.
Outcome collect_tokens(const cpu::KernelTable& table, const Row& row, float least) {
  Outcome o{row.name("collect_tokens") + "/" + std::to_string(least), {}, {}, {}};
  std::vector<int> ids(row.size());
  std::vector<float> scores(row.size());
  int count = table.collect_tokens(row.view(), least, ids.data(), scores.data());
  for (int i = 0; i < count; ++i) {
    o.found.push_back(static_cast<float>(ids[i]));
    o.found.push_back(scores[i]);
  }
  for (int64_t i = 0; i < row.size(); ++i)
    if (row.score(i) >= least) {
      o.expected.push_back(static_cast<double>(i));
      o.expected.push_back(row.score(i));
    }
  o.scale.assign(o.expected.size(), 1);
  return o;
}

}  // namespace

Outcomes softmax_cases(const cpu::KernelTable& table) {
  Outcomes all;
  for (int64_t n : {1, 3, 4, 7, 15, 16, 19, 64, 65, 579, 1500}) {
    Row row(n);
    for (auto* make : {row_sums, row_exp_sum, negative_softmax, weigh})
      all.push_back(make(table, row));
    all.push_back(exp_terms(table, n));
    for (int groups : {1, 5, 16, 40})
      if (groups <= n) all.push_back(group_maxima(table, row, groups));
    for (float least : {-INFINITY, 0.0f, 10.5f, 50.0f})
      all.push_back(collect_tokens(table, row, least));
  }
  for (float bad : {NAN, INFINITY}) all.push_back(unfit_row(table, bad));
  return all;
}

}  // namespace pupil::kernel_cases
