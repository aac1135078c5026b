#include "share_table.h"

#include <algorithm>
#include <cstdio>

#include "app/machine.h"
#include "base/table.h"
#include "cases.h"
#include "ops/cpu/thread_pool.h"
#include "peaks.h"

namespace pupil::bench {
namespace {

std::string number_text(double value, const char* unit) {
  char text[64];
  int digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  std::snprintf(text, sizeof text, "%.*f%s", digits, value, unit);
  return text;
}

std::string time_text(double seconds) {
  if (seconds < 1e-3) return number_text(seconds * 1e6, " us");
  if (seconds < 1) return number_text(seconds * 1e3, " ms");
  return number_text(seconds, " s");
}

std::string name_of(Limit limit) {
  switch (limit) {
    case Limit::f32:
      return "f32";
    case Limit::bf16:
      return "bf16";
    case Limit::dot16:
      return "dot16";
    case Limit::dot8:
      return "dot8";
    case Limit::read:
      return "read";
  }
  return "";
}

std::string rate_text(double per_second, Limit limit) {
  return number_text(per_second / 1e9, limit == Limit::read ? " GB/s" : " GOPS");
}

/// The least time that a limit allows; 0 where the machine's rate is not known.
struct Bound {
  double seconds = 0;
  Limit limit = Limit::read;
};

// A processor without instructions for a kind of product computes it in float32.
Bound products_bound(double operations, Limit limit, const Rates& rates) {
  if (!rates.contains(limit)) limit = Limit::f32;
  auto rate = rates.find(limit);
  if (operations == 0 || rate == rates.end()) return {};
  return {operations / rate->second, limit};
}

// Products of all kinds follow one another, memory is read meanwhile: the longer of
// the two, named after the kind that takes longest.
Bound bound_of(const Work& work, const Rates& rates) {
  Bound kinds[] = {
      products_bound(work.dot16, Limit::dot16, rates),
      products_bound(work.bf16, Limit::bf16, rates),
      products_bound(work.f32, Limit::f32, rates)};
  auto shorter = [](const Bound& a, const Bound& b) { return a.seconds < b.seconds; };
  Bound products = *std::max_element(std::begin(kinds), std::end(kinds), shorter);
  products.seconds = 0;
  for (const auto& kind : kinds) products.seconds += kind.seconds;
  auto read = rates.find(Limit::read);
  if (read == rates.end()) return products;
  return std::max(products, Bound{work.bytes / read->second, Limit::read}, shorter);
}

Rates best_rates(const std::map<std::string, double>& runs_per_second) {
  Rates rates;
  for (const auto& peak : peaks()) {
    auto runs = runs_per_second.find(peak.name);
    if (runs == runs_per_second.end()) continue;
    double& rate = rates[peak.limit];
    rate = std::max(rate, runs->second * peak.amount);
  }
  return rates;
}

std::vector<std::string> row_of(
    const Case& c, double calls_per_second, double fallback, const Rates& rates) {
  auto bound = bound_of(c.work, rates);
  double amount = bound.limit == Limit::read ? c.work.bytes : c.work.operations();
  std::vector<std::string> row = {
      c.name,
      time_text(1 / calls_per_second),
      rate_text(amount * calls_per_second, bound.limit)};
  if (bound.seconds > 0) {
    row.push_back(name_of(bound.limit));
    row.push_back(number_text(100 * bound.seconds * calls_per_second, " %"));
  } else {
    row.insert(row.end(), {"", ""});
  }
  row.push_back(fallback > 0 ? number_text(calls_per_second / fallback, " x") : "");
  return row;
}

}  // namespace

void ShareTable::ReportRuns(const std::vector<Run>& runs) {
  for (const auto& run : runs) {
    auto rate = run.counters.find("items_per_second");
    if (run.run_type != Run::RT_Iteration || rate == run.counters.end()) continue;
    double& best = calls_per_second_[run.run_name.function_name];
    best = std::max(best, rate->second.value);
  }
}

std::string ShareTable::text() const {
  auto measured = [&](const std::string& name) {
    auto found = calls_per_second_.find(name);
    return found == calls_per_second_.end() ? 0.0 : found->second;
  };
  auto rates = best_rates(calls_per_second_);
  Table limits{{"limit of this machine", "rate"}, {}};
  for (const auto& [limit, rate] : rates)
    limits.rows.push_back({name_of(limit), rate_text(rate, limit)});
  Table table{{"case", "time", "rate", "limit", "share", "fallback"}, {}};
  for (const auto& c : cases()) {
    double ours = measured(c.name);
    if (ours == 0) continue;
    table.rows.push_back(row_of(c, ours, measured(fallback_name(c.name)), rates));
  }
  return cpu_features_text() + ", " + std::to_string(cpu::num_threads()) +
         " threads\n\n" + terminal_table(limits) + "\n" + terminal_table(table);
}

}  // namespace pupil::bench
