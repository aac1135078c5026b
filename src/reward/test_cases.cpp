#include "reward/test_cases.h"

#include <algorithm>
#include <cctype>

namespace pupil {
namespace {

bool take(std::string_view& text, std::string_view token) {
  skip_blank(text);
  if (!text.starts_with(token)) return false;
  text.remove_prefix(token.size());
  return true;
}

std::string take_name(std::string_view& text) {
  skip_blank(text);
  size_t i = 0;
  auto in_name = [&](char c) {
    const bool letter = std::isalpha(static_cast<unsigned char>(c)) || c == '_';
    return letter || (i > 0 && std::isdigit(static_cast<unsigned char>(c)));
  };
  while (i < text.size() && in_name(text[i])) ++i;
  std::string name(text.substr(0, i));
  text.remove_prefix(i);
  return name;
}

/// A literal, or `name=literal`.
bool take_argument(std::string_view& text) {
  skip_blank(text);
  std::string_view keyword = text;
  const bool named =
      !take_name(keyword).empty() && take(keyword, "=") && !keyword.starts_with("=");
  if (named) text = keyword;
  return read_literal(text).has_value();
}

/// Arguments behind the opening parenthesis, with the closing one.
bool take_arguments(std::string_view& text) {
  bool first = true, comma = false;
  while (!take(text, ")")) {
    if (!first && !comma) return false;
    if (!take_argument(text)) return false;
    comma = take(text, ",");
    first = false;
  }
  return true;
}

/// Nothing more, or a message that is a literal or keeps to one line.
bool ends_after_message(std::string_view text) {
  skip_blank(text);
  if (text.empty()) return true;
  if (!take(text, ",")) return false;
  std::string_view message = text;
  if (read_literal(message)) {
    skip_blank(message);
    if (message.empty()) return true;
  }
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) {
    text.remove_suffix(1);
  }
  return text.find_first_of("\n;") == std::string_view::npos;
}

}  // namespace

std::optional<LiteralTest> as_literal_test(const std::string& test) {
  std::string_view text = test;
  if (!take(text, "assert") || text.empty() || !std::isspace(text[0])) {
    return std::nullopt;
  }
  skip_blank(text);
  const char* call = text.data();
  if (take_name(text).empty() || !text.starts_with("(") || !take(text, "(")) {
    return std::nullopt;
  }
  if (!take_arguments(text)) return std::nullopt;
  std::string call_text(call, text.data());
  if (!take(text, "==")) return std::nullopt;
  auto expected = read_literal(text);
  if (!expected || !ends_after_message(text)) return std::nullopt;
  return LiteralTest{std::move(call_text), std::move(*expected)};
}

TestCases split_tests(const std::vector<std::string>& tests) {
  TestCases cases;
  for (const auto& test : tests) {
    if (auto literal = as_literal_test(test)) {
      cases.literal.push_back(std::move(*literal));
    } else {
      cases.other.push_back(test);
    }
  }
  return cases;
}

std::string entry_point_of(const Task& task) {
  if (!task.entry_point.empty()) return task.entry_point;
  for (const auto& test : task.tests) {
    if (const auto literal = as_literal_test(test)) {
      return literal->call.substr(0, literal->call.find('('));
    }
  }
  return "";
}

}  // namespace pupil
