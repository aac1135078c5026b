// What the teacher did between two steps, as numbers with names.

#include <algorithm>
#include <cmath>

#include "reward/teacher.h"

namespace pupil {

namespace {

// Above this share of answers that talk to the judge, learning to do so has begun
// (arXiv:2511.18397 puts the onset of reward hacking at 2 %).
constexpr double kSuspiciousShare = 0.02;

double share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
}

// The nearest-rank quantile; 0 of nothing.
double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(values.size())));
  return values[std::max<size_t>(rank, 1) - 1];
}

void add_counts(Metrics& out, const JudgeCounts& counts) {
  auto add = [&](const std::string& name, double value) {
    out.emplace_back("teacher/" + name, value);
  };
  double suspicious = share(counts.suspicious, counts.samples);
  add("coverage", share(counts.scored, counts.samples));
  for (const auto& [why, count] : counts.unscored)
    add("unscored/" + why, static_cast<double>(count));
  add("local_zeros", static_cast<double>(counts.local_zeros));
  add("suspicious", suspicious);
  if (counts.probes > 0)
    add("probe_mean", counts.probe_sum / static_cast<double>(counts.probes));
  add("alarm/probe", counts.probes_failed > 0);
  add("alarm/gap", counts.gaps > 0);
  add("alarm/suspicious", suspicious > kSuspiciousShare);
}

}  // namespace

Metrics Teacher::take_metrics() {
  Metrics out;
  TeacherStats now = stats();
  auto add = [&](const std::string& name, int64_t TeacherStats::*field) {
    out.emplace_back(
        "teacher/" + name, static_cast<double>(now.*field - taken_.*field));
  };
  add_counts(out, judging_.take_counts());
  add("questions", &TeacherStats::questions);
  int64_t questions = now.questions - taken_.questions;
  int64_t known = now.cache_hits - taken_.cache_hits + now.joined - taken_.joined;
  out.emplace_back("teacher/cache_hit_rate", share(known, questions));
  add("calls", &TeacherStats::calls);
  add("retries", &TeacherStats::retries);
  add("reasks", &TeacherStats::reasks);
  auto latencies = answers_.take_latencies();
  out.emplace_back("teacher/latency_p50", quantile(latencies, 0.5));
  out.emplace_back("teacher/latency_p95", quantile(latencies, 0.95));
  add("input_tokens", &TeacherStats::input_tokens);
  add("output_tokens", &TeacherStats::output_tokens);
  if (config_.price_per_mtok_in && config_.price_per_mtok_out)
    out.emplace_back("teacher/cost_usd", now.spent_usd - taken_.spent_usd);
  taken_ = now;
  return out;
}

}  // namespace pupil
