#include "app/judge_report.h"

#include <cmath>
#include <cstdio>
#include <optional>

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

std::optional<double> number(const Json& row, const std::string& key) {
  auto found = row.find(key);
  if (found == row.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

std::string text(const char* format, double a, double b = 0) {
  char out[96];
  std::snprintf(out, sizeof out, format, a, b);
  return out;
}

// Pairs of one group are not independent: this is a generous bound.
bool is_chance(double share, double pairs) {
  return std::abs(share - 0.5) < std::max(0.1, 1 / std::sqrt(pairs));
}

}  // namespace

JudgeReport::JudgeReport(const std::vector<RewardFunction>& functions) {
  for (const auto& function : functions) {
    if (function.weight != 0) continue;
    auto& watched = watched_.emplace_back();
    watched.name = function.name;
    for (const auto& other : functions) {
      if (other.name != function.name) watched.others.push_back({other.name});
    }
  }
}

void JudgeReport::add(const Json& row) {
  if (number(row, "time/score").value_or(0) == 0) return;  // a round's later steps
  for (auto& watched : watched_) {
    if (auto mean = number(row, "rewards/" + watched.name + "/mean")) {
      watched.mean_sum += *mean;
      ++watched.rounds;
    }
    if (auto probe = number(row, "teacher/probe_mean");
        probe && watched.name == "teacher") {
      watched.probe_sum += *probe;
      ++watched.probes;
    }
    for (auto& other : watched.others) {
      auto key = "agreement/" + other.name + "/" + watched.name;
      if (!row.contains(key)) key = "agreement/" + watched.name + "/" + other.name;
      auto share = number(row, key), pairs = number(row, key + "/pairs");
      if (!share || !pairs) continue;
      other.same += *share * *pairs;
      other.pairs += *pairs;
    }
  }
}

std::vector<std::string> JudgeReport::lines() const {
  std::vector<std::string> lines;
  for (const auto& watched : watched_) {
    if (watched.rounds == 0) continue;
    std::string line = watched.name + " (weight 0, looked at only): mean " +
                       text("%.3f", watched.mean_sum / watched.rounds);
    bool noise = false;
    for (const auto& other : watched.others) {
      if (other.pairs == 0) continue;
      double share = other.same / other.pairs;
      line += "; agrees with " + other.name +
              text(" on %.0f %% of %.0f pairs", 100 * share, other.pairs);
      noise |= other.name == "tests" && is_chance(share, other.pairs);
    }
    if (watched.probes > 0) {
      line += "; gave known-bad programs " +
              text("%.3f", watched.probe_sum / watched.probes);
    }
    line += noise ? "; 50 % is chance: this judge is noise, leave its weight at 0"
                  : "; 50 % is chance";
    lines.push_back(line);
  }
  return lines;
}

}  // namespace pupil
