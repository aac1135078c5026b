#include "reward/reward_config.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <stdexcept>

#include "base/quote.h"

namespace pupil {

namespace {

constexpr size_t kMaxNameBytes = 64;

bool is_reward(std::string_view name) {
  const std::string all = '|' + std::string(kRewardNames) + '|';
  return name.find('|') == name.npos &&
         all.find('|' + std::string(name) + '|') != all.npos;
}

std::string expected_names() {
  std::string names;
  for (char c : kRewardNames) names += c == '|' ? std::string(", ") : std::string(1, c);
  return "expected one of " + names + ", or a command or pattern beside it";
}

// It names metrics, JSON keys and a file.
bool is_label(const std::string& name) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  return !name.empty() && name.size() <= kMaxNameBytes && name[0] != '.' &&
         name.find_first_not_of(kAllowed) == name.npos;
}

std::string name_problem(const RewardFunctionConfig& function) {
  const bool is_own = !function.command.empty() || function.pattern;
  if (!is_own) {
    if (function.name.empty()) return "name is missing, " + expected_names();
    if (is_reward(function.name)) return "";
    return "name: " + expected_names() + ", got " + in_quotes(function.name);
  }
  const std::string name = display_name(function);
  if (!is_label(name)) {
    return "name: expected at most " + std::to_string(kMaxNameBytes) +
           " letters, digits, '_', '-' and '.', got " + in_quotes(name) +
           "; give it a name";
  }
  const bool is_regex = function.pattern && name == "regex";
  if (!is_reward(name) || is_regex) return "";
  return "name: " + in_quotes(name) + " is a reward of its own; choose another name";
}

std::string kind_of(const RewardFunctionConfig& function) {
  if (!function.command.empty()) return "command";
  return function.pattern ? "regex" : function.name;
}

// A key that would be ignored is a mistake.
std::string misplaced_key(const RewardFunctionConfig& f) {
  const std::string kind = kind_of(f);
  const auto belongs = [&](bool given, const char* key, const char* owner) {
    if (!given || kind == owner) return std::string();
    return std::string(key) + ": is a key of " + owner + ", not of " + in_quotes(kind);
  };
  for (const auto& problem :
       {belongs(f.timeout_s.has_value(), "timeout_s", "command"),
        belongs(f.batch_size.has_value(), "batch_size", "command"),
        belongs(f.on_failure.has_value(), "on_failure", "command"),
        belongs(f.max_completion_len.has_value(), "max_completion_len", "length"),
        belongs(f.soft_punish_cache.has_value(), "soft_punish_cache", "length"),
        belongs(f.ngram_size.has_value(), "ngram_size", "repetition"),
        belongs(f.max_penalty.has_value(), "max_penalty", "repetition")}) {
    if (!problem.empty()) return problem;
  }
  return "";
}

}  // namespace

std::string RewardFunctionConfig::problem() const {
  if (!command.empty() && pattern) return "pattern: expected a command or a pattern";
  if (!command.empty() && command[0].empty()) {
    return "command: expected a program and its arguments, got an empty name";
  }
  if (auto wrong = name_problem(*this); !wrong.empty()) return wrong;
  if (name == "regex" && !pattern) return "pattern is missing, expected one for regex";
  if (share < 1 && weight != 0)
    return "share: below 1 needs weight 0, got " + std::to_string(weight) +
           "; set share: 1 or weight: 0";
  return misplaced_key(*this);
}

// The first argument that makes a name, without folder and extension; else the program.
std::string display_name(const RewardFunctionConfig& function) {
  if (!function.name.empty()) return function.name;
  if (function.pattern) return "regex";
  const auto& command = function.command;
  if (command.empty()) return "";
  const auto stem = [](const std::string& word) {
    return std::filesystem::path(word).stem().string();
  };
  auto script = std::find_if(command.begin() + 1, command.end(), [&](const auto& word) {
    return !word.starts_with('-') && is_label(stem(word));
  });
  return stem(script == command.end() ? command[0] : *script);
}

void check_reward_functions(const std::vector<RewardFunctionConfig>& functions) {
  std::set<std::string> names;
  for (size_t i = 0; i < functions.size(); ++i) {
    const std::string row = "[config] reward.functions." + std::to_string(i);
    const std::string problem = functions[i].problem();
    if (!problem.empty()) throw std::invalid_argument(row + '.' + problem);
    const std::string name = display_name(functions[i]);
    if (names.insert(name).second) continue;
    throw std::invalid_argument(
        row + ": a second reward named " + in_quotes(name) +
        "; give each a name of its own");
  }
}

}  // namespace pupil
