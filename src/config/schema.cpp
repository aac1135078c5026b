#include "config/schema.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <numeric>

namespace pupil {

namespace {

constexpr size_t kLongestKey = 64;  // a longer one is compared by its beginning

bool in_range(const Limits& limits, double value) {
  return value >= limits.range.min && value <= limits.range.max;
}

template <class T>
bool parse_integer(std::string_view text, const Limits& limits, T& out) {
  T value = 0;
  const auto& zero = limits.range.zero;
  if (!zero.empty() && text == zero) {
    out = value;
    return true;
  }
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  if (!in_range(limits, static_cast<double>(value))) return false;
  out = value;
  return true;
}

// strtod also takes hexadecimal, "inf", "nan" and leading spaces; a config does not.
bool looks_decimal(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of("+-.0123456789eE") == std::string_view::npos;
}

template <class T>
bool parse_real(std::string_view text, const Limits& limits, T& out) {
  if (!looks_decimal(text)) return false;
  const std::string copy(text);
  char* end = nullptr;
  const T value = static_cast<T>(std::strtod(copy.c_str(), &end));
  if (*end != '\0' || !std::isfinite(value) || !in_range(limits, value)) return false;
  out = value;
  return true;
}

// "1.0e-05", not "1e-05", which YAML 1.1 readers such as PyYAML take for text.
template <class T>
std::string real_text(T value) {
  char buffer[64];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  std::string text(buffer, error == std::errc() ? end : buffer);
  const size_t exponent = text.find('e');
  if (exponent != std::string::npos && text.find('.') == std::string::npos) {
    text.insert(exponent, ".0");
  }
  return text;
}

template <class F>
void for_each_choice(std::string_view choices, F&& f) {
  while (!choices.empty()) {
    const size_t bar = std::min(choices.find('|'), choices.size());
    f(choices.substr(0, bar));
    choices.remove_prefix(std::min(bar + 1, choices.size()));
  }
}

std::string range_text(const Range& range) {
  const bool has_min = std::isfinite(range.min), has_max = std::isfinite(range.max);
  if (has_min && range.min == kPositive.min) return " above 0";
  if (has_min && has_max) {
    return " from " + real_text(range.min) + " to " + real_text(range.max);
  }
  if (has_min) return " at least " + real_text(range.min);
  return has_max ? " at most " + real_text(range.max) : "";
}

// Levenshtein's distance, one row at a time.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string_view last_part(std::string_view key) {
  const size_t dot = key.rfind('.');
  return dot == std::string_view::npos ? key : key.substr(dot + 1);
}

std::string_view parent_part(std::string_view key) {
  const size_t dot = key.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : key.substr(0, dot);
}

size_t key_distance(std::string_view a, std::string_view b) {
  return 4 * edit_distance(last_part(a), last_part(b)) +
         edit_distance(parent_part(a), parent_part(b));
}

}  // namespace

std::string_view Field::name() const {
  return last_part(key);
}

bool parse_value(std::string_view text, const Limits&, bool& out) {
  if (text != "true" && text != "false") return false;
  out = text == "true";
  return true;
}

bool parse_value(std::string_view text, const Limits& limits, int& out) {
  return parse_integer(text, limits, out);
}
bool parse_value(std::string_view text, const Limits& limits, int64_t& out) {
  return parse_integer(text, limits, out);
}
bool parse_value(std::string_view text, const Limits& limits, uint64_t& out) {
  return parse_integer(text, limits, out);
}
bool parse_value(std::string_view text, const Limits& limits, float& out) {
  return parse_real(text, limits, out);
}
bool parse_value(std::string_view text, const Limits& limits, double& out) {
  return parse_real(text, limits, out);
}

bool parse_value(std::string_view text, const Limits& limits, std::string& out) {
  bool allowed = limits.choices.empty() && text.find('\0') == std::string_view::npos;
  for_each_choice(limits.choices, [&](auto choice) { allowed |= choice == text; });
  if (allowed) out = text;
  return allowed;
}

std::string value_text(bool value) {
  return value ? "true" : "false";
}
std::string value_text(int value) {
  return std::to_string(value);
}
std::string value_text(int64_t value) {
  return std::to_string(value);
}
std::string value_text(uint64_t value) {
  return std::to_string(value);
}
std::string value_text(float value) {
  return real_text(value);
}
std::string value_text(double value) {
  return real_text(value);
}
std::string value_text(const std::string& value) {
  return value;
}

std::string expected_text(
    std::string_view type, const Limits& limits, bool null_allowed) {
  std::string text(type);
  if (!limits.choices.empty()) {
    text = limits.choices.find('|') == std::string_view::npos ? "" : "one of ";
    std::string_view separator;
    for_each_choice(limits.choices, [&](auto choice) {
      text.append(separator).append(choice);
      separator = ", ";
    });
  }
  text += range_text(limits.range);
  if (!limits.range.zero.empty()) text.append(" or ").append(limits.range.zero);
  return text + (null_allowed ? " or null" : "");
}

std::vector<std::string> all_keys(const Field& field) {
  std::vector<std::string> keys;
  if (!field.key.empty()) keys.push_back(field.key);
  const auto append = [&](const Field& child) {
    for (auto& key : all_keys(child)) keys.push_back(std::move(key));
  };
  for (const Field& child : field.fields) append(child);
  if (field.kind == Field::Kind::List) {
    for (size_t i = 0; i < field.size(); ++i) append(field.element(i));
  }
  return keys;
}

std::string nearest_key(std::string_view key, const std::vector<std::string>& keys) {
  const std::string_view start = key.substr(0, kLongestKey);
  return *std::min_element(keys.begin(), keys.end(), [&](auto& a, auto& b) {
    return key_distance(start, a) < key_distance(start, b);
  });
}

}  // namespace pupil
