#include "reward/guessing.h"

#include <algorithm>
#include <map>

namespace pupil {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto end = text.find_last_not_of(" \t\r\n");
  return text.substr(0, end == std::string_view::npos ? 0 : end + 1);
}

bool wants_bool(const LiteralTest& test) {
  return test.expected.kind == Value::Kind::boolean;
}

size_t count_of(const Task& task, const TestCases& tests) {
  return tests.literal.size() + tests.other.size() + task.io_tests.size();
}

}  // namespace

int most_by_one_value(const Task& task, const TestCases& tests) {
  std::map<std::string, int> counts;
  for (const auto& test : tests.literal) ++counts["value " + canonical(test.expected)];
  for (const auto& test : task.io_tests)
    ++counts["output " + std::string(trimmed(test.output))];
  int most = 0;
  for (const auto& [value, count] : counts) most = std::max(most, count);
  return most;
}

bool is_guessable(const Task& task, const TestCases& tests) {
  const auto total = count_of(task, tests);
  if (total < 2 || total >= kSafeTests) return false;
  const auto most = static_cast<size_t>(most_by_one_value(task, tests));
  const bool all_bool =
      tests.literal.size() == total &&
      std::all_of(tests.literal.begin(), tests.literal.end(), wants_bool);
  return all_bool || 2 * most > total;
}

double share_beyond_guess(int passed, int total, int constant) {
  if (constant >= total) return static_cast<double>(passed) / total;
  return static_cast<double>(std::max(0, passed - constant)) / (total - constant);
}

}  // namespace pupil
