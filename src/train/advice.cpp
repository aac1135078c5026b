#include "train/advice.h"

#include <cstdio>
#include <optional>

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kWindow = 5;  // steps

struct Kind {
  const char* metric;
  double bound;  // told if the mean is above it, or below for `is_least`
  bool is_least;
  double shown_as;   // factor: 100 for a share that is shown in percent
  const char* text;  // takes the mean
};

// In order of importance.
constexpr Kind kKinds[] = {
    {"frac_reward_zero_std",
     0.3,
     false,
     100,
     "%.0f %% of groups have no spread of rewards and teach nothing: raise "
     "rollout.temperature, set rollout.dynamic_sampling or data.curriculum: uncertain, "
     "or take tasks that are neither solved nor hopeless"},
    {"completions/clipped_ratio",
     0.5,
     false,
     100,
     "%.0f %% of completions hit the length limit: raise "
     "rollout.max_completion_length, "
     "or set train.mask_truncated_completions"},
    {"unscored",
     0.5,
     false,
     1,
     "%.1f completions a step have no reward: the reasons are in rollouts.jsonl"},
    {"entropy",
     0.05,
     true,
     1,
     "entropy is down to %.3f nats a token, and the samples are nearly all the same: "
     "raise rollout.temperature or train.entropy_coef, or lower train.learning_rate"},
    {"kl",
     1,
     false,
     1,
     "the student is %.1f nats a token from its reference: lower train.learning_rate "
     "or "
     "raise train.beta"},
    {"clip_ratio/region_mean",
     0.3,
     false,
     100,
     "%.0f %% of tokens are clipped: lower train.learning_rate or "
     "train.num_iterations"},
};

// Of rows that have the metric; enough of them, or none.
std::optional<double> mean_of(const std::deque<Json>& rows, const char* metric) {
  double sum = 0;
  size_t count = 0;
  for (const auto& row : rows) {
    auto found = row.find(metric);
    if (found == row.end() || !found->is_number()) continue;
    sum += found->get<double>();
    ++count;
  }
  if (count < kWindow) return std::nullopt;
  return sum / static_cast<double>(count);
}

std::string text_of(const Kind& kind, double mean) {
  char text[400];
  std::snprintf(text, sizeof text, kind.text, kind.shown_as * mean);
  return std::string("[advice] ") + text;
}

}  // namespace

std::vector<std::string> Advice::add(const Json& row) {
  rows_.push_back(row);
  if (rows_.size() > kWindow) rows_.pop_front();
  std::vector<std::string> lines;
  for (const auto& kind : kKinds) {
    if (said_.contains(kind.metric)) continue;
    auto mean = mean_of(rows_, kind.metric);
    if (!mean || (kind.is_least ? *mean >= kind.bound : *mean <= kind.bound)) continue;
    said_.insert(kind.metric);
    lines.push_back(text_of(kind, *mean));
  }
  return lines;
}

}  // namespace pupil
