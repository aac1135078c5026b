#include "reward/regex_reward.h"

#include <re2/re2.h>

#include <memory>
#include <stdexcept>

#include "base/quote.h"

namespace pupil {

namespace {

constexpr int64_t kMaxMemory = 32 << 20;  // of the compiled pattern and its cache

RE2::Options options() {
  RE2::Options options;
  options.set_dot_nl(true);
  options.set_log_errors(false);
  options.set_max_mem(kMaxMemory);
  return options;
}

}  // namespace

RewardFn regex_reward(const std::string& name, const std::string& pattern) {
  const auto regex = std::make_shared<const RE2>(pattern, options());
  if (!regex->ok()) {
    throw std::invalid_argument(
        "[config] reward.functions: " + name + ": pattern " + in_quotes(pattern) +
        ": " + regex->error() +
        "; expected RE2 syntax (no look-around, no back-references)");
  }
  return [regex](std::span<const Sample> samples) {
    std::vector<Score> scores;
    for (const auto& [task, completion] : samples) {
      const bool matches = RE2::PartialMatch(completion->text, *regex);
      scores.push_back(matches ? Score{1.0, "matches"} : Score{0.0, "does not match"});
    }
    return scores;
  };
}

}  // namespace pupil
