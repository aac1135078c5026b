// One JSON object a line with TRL's setting names, and an answer a line: what
// `pupil loss` and `pupil advantages` share.

#pragma once

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <istream>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace pupil {

/// A table of numbers, row after row.
struct NumberTable {
  std::vector<float> values;
  int rows = 0, columns = 0;
};

/// Which keys a request may have beside those that are named.
enum class MoreKeys { grpo_config, none };

/// The object of one line. A key that is absent or null is unset. Every error is
/// std::invalid_argument "field: what, expected, got".
class TrlRequest {
 public:
  /// `inputs`: keys beside `more`. Throws if `line` is no JSON object, holds a number
  /// that is not finite, or has another key.
  TrlRequest(
      const std::string& line,
      std::initializer_list<std::string_view> inputs,
      MoreKeys more = MoreKeys::grpo_config);

  bool has(const char* key) const;
  const nlohmann::json& at(const char* key) const;  // must be there

  double number(const char* key, double otherwise) const;
  std::optional<double> number(const char* key) const;
  double number_within(
      const char* key, double otherwise, double least, double most) const;
  /// A whole number from 1.
  int count(const char* key, int otherwise) const;
  bool flag(const char* key, bool otherwise) const;
  std::string text(const char* key, const std::string& otherwise) const;

  /// [B][T], B and T at least 1; booleans count as 0 and 1.
  NumberTable table(const char* key) const;
  std::vector<float> list(const char* key) const;

 private:
  nlohmann::json object_;
};

/// "field: expected ..., got ..." as std::invalid_argument.
[[noreturn]] void reject_field(
    std::string_view field, const std::string& expected, const nlohmann::json& got);

using AnswerFn = std::function<nlohmann::ordered_json(const std::string& line)>;

/// Answers every line of `in` that is not blank, in order, one line each. The first bad
/// one ends it: throws std::invalid_argument "[command] line 3: ...".
void answer_lines(
    std::istream& in, std::ostream& out, const char* command, const AnswerFn& answer);

}  // namespace pupil
