#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"

namespace pupil {

/// The rewards that `reward.functions[].name` may name, separated by '|'.
inline constexpr std::string_view kRewardNames =
    "tests|format|rubric|teacher|length|repetition|regex";

/// One row of `reward.functions`: a reward by its name, a program of the user's by its
/// command, or a regular expression by its pattern. The other keys belong to one kind
/// each and are refused elsewhere.
struct RewardFunctionConfig {
  std::string name;  // empty: that of `command`, or regex
  double weight = 1.0;
  double share = 1.0;
  std::vector<std::string> command = {};
  std::optional<double> timeout_s = {};        // of a program
  std::optional<int> batch_size = {};          // of a program
  std::optional<std::string> on_failure = {};  // of a program
  std::optional<std::string> pattern = {};     // of regex
  std::optional<int> max_completion_len = {};  // of length
  std::optional<int> soft_punish_cache = {};   // of length
  std::optional<int> ngram_size = {};          // of repetition
  std::optional<double> max_penalty = {};      // of repetition

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("name",
      self.name,
      "tests, format, rubric, teacher, length, repetition or regex; with a command or "
      "a "
      "pattern a name of your own");
    f("weight", self.weight, "its weight in the sum; 0: only shown", Range{-1e6, 1e6});
    f("share",
      self.share,
      "share of the groups that it scores; below 1 with weight 0 only",
      kUnit);
    visit_program(self, f);
    f("pattern", self.pattern, "regex: RE2 syntax; 1 where the answer matches, else 0");
    visit_penalties(self, f);
  }

  /// What is wrong with these keys together, "key: what"; empty: nothing.
  std::string problem() const;

 private:
  template <class Self, class F>
  static void visit_program(Self& self, F&& f) {
    f("command",
      self.command,
      "a program of yours and its arguments (docs/rewards.md)");
    f("timeout_s",
      self.timeout_s,
      "command: limit of one request, in seconds; default 60",
      kPositive);
    f("batch_size",
      self.batch_size,
      "command: completions in one request; default 64",
      kAtLeastOne);
    f("on_failure",
      self.on_failure,
      "command: what happens when it is given up; default stop",
      Choices{"stop|unscored"});
  }

  template <class Self, class F>
  static void visit_penalties(Self& self, F&& f) {
    f("max_completion_len",
      self.max_completion_len,
      "length: tokens from which on it is -1; default rollout.max_completion_length",
      kAtLeastOne);
    f("soft_punish_cache",
      self.soft_punish_cache,
      "length: tokens before that over which it falls; default a fifth of it",
      kNotNegative);
    f("ngram_size", self.ngram_size, "repetition: tokens; default 3", kAtLeastOne);
    f("max_penalty",
      self.max_penalty,
      "repetition: of an answer that only repeats; default -1",
      Range{-1e6, 0});
  }
};

/// What the row is called in metrics, rollouts and messages: `name`, or what is made
/// from the command: ["python3", "my_reward.py"] is my_reward.
std::string display_name(const RewardFunctionConfig& function);

struct RewardConfig {
  std::vector<RewardFunctionConfig> functions = {
      {"tests", 1.0}, {"format", 0.2}, {"rubric", 0.2}};
  std::string aggregation = "sum_then_normalize";

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("functions", self.functions, "what scores a completion, and with which weight");
    f("aggregation",
      self.aggregation,
      "from scores to advantages: sum, then normalize by group, or the reverse",
      Choices{"sum_then_normalize|normalize_then_sum"});
  }
};

/// Throws std::invalid_argument, "[config] reward.functions...", if a row is wrong in
/// itself or two have the same name.
void check_reward_functions(const std::vector<RewardFunctionConfig>& functions);

}  // namespace pupil
