// A run-time view of a config struct, built from its `visit`: every field under its
// dotted key with its help, what it accepts, and functions that read and write it as
// text. YAML, the command line, `pupil init` and docs/config.md all walk this view.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/fields.h"
#include "base/visit.h"

namespace pupil {

/// What a field may be told about its values; at most one of the two is given.
struct Limits {
  Range range;
  std::string_view choices;
  bool given = false;

  Limits() = default;
  Limits(Range r) : range(r), given(true) {}
  Limits(Choices c) : choices(c.values), given(true) {}
};

/// A section of fields, a list, or one value. Refers into the struct it describes,
/// which must outlive it; an element of a list, until that list changes its length.
struct Field {
  enum class Kind { Section, List, Value };
  Kind kind = Kind::Value;
  std::string key;       // dotted, "rollout.top_p"; empty for the whole config
  std::string help;      // one line; may be empty for a section
  std::string expected;  // "a number from 0 to 1"

  std::vector<Field> fields;           // of a section
  std::function<std::string()> check;  // of a section, may be empty: what is wrong with
                                       // its fields together, "name: what"; "": nothing

  std::function<size_t()> size;  // of a list, with the next two
  std::function<void(size_t)> resize;
  std::function<Field(size_t)> element;

  bool is_limited = false;      // `expected` says more than the type
  bool is_text = false;         // a value that YAML may have to quote
  std::function<bool()> clear;  // sets null; false where null is not accepted
  std::function<bool(std::string_view)>
      read;  // false, and no change, if not `expected`
  std::function<std::optional<std::string>()> write;  // nullopt: null

  /// The last part of `key`.
  std::string_view name() const;
};

/// Reads the whole of `text`; false, and `out` unchanged, if it is not a T within
/// `limits`. Numbers are decimal and finite; text holds no NUL byte.
bool parse_value(std::string_view text, const Limits& limits, bool& out);
bool parse_value(std::string_view text, const Limits& limits, int& out);
bool parse_value(std::string_view text, const Limits& limits, int64_t& out);
bool parse_value(std::string_view text, const Limits& limits, uint64_t& out);
bool parse_value(std::string_view text, const Limits& limits, float& out);
bool parse_value(std::string_view text, const Limits& limits, double& out);
bool parse_value(std::string_view text, const Limits& limits, std::string& out);

/// The shortest text that `parse_value` reads back as the same value.
std::string value_text(bool value);
std::string value_text(int value);
std::string value_text(int64_t value);
std::string value_text(uint64_t value);
std::string value_text(float value);
std::string value_text(double value);
std::string value_text(const std::string& value);

/// "an integer at least 1", "one of auto, cpu, gpu", "a number or null".
std::string expected_text(
    std::string_view type, const Limits& limits, bool null_allowed);

namespace detail {

template <class T>
constexpr std::string_view type_name() {
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_same_v<T, std::string>) return "text";
  if constexpr (std::is_floating_point_v<T>) return "a number";
  return "an integer";
}

template <class Base, class T>
Field describe_value(T& value, const Limits& limits) {
  Field field;
  field.is_text = std::is_same_v<Base, std::string>;
  field.is_limited = limits.given;
  field.expected = expected_text(type_name<Base>(), limits, Optional<T>);
  field.clear = [&value] {
    if constexpr (Optional<T>) value.reset();
    return Optional<T>;
  };
  field.read = [&value, limits](std::string_view text) {
    Base parsed{};
    if (!parse_value(text, limits, parsed)) return false;
    value = parsed;
    return true;
  };
  field.write = [&value]() -> std::optional<std::string> {
    if constexpr (Optional<T>) {
      return value ? std::optional(value_text(*value)) : std::nullopt;
    } else {
      return value_text(value);
    }
  };
  return field;
}

}  // namespace detail

/// The view of `value`: a config struct, or one of its fields.
template <class T>
Field describe(T& value, const std::string& key = "", const Limits& limits = Limits()) {
  Field field;
  if constexpr (Visitable<T>) {
    field.kind = Field::Kind::Section;
    field.expected = "a map of keys";
    const auto add = [&](std::string_view name,
                         auto& child,
                         std::string_view help,
                         const Limits& child_limits) {
      const std::string prefix = key.empty() ? "" : key + '.';
      field.fields.push_back(describe(child, prefix + std::string(name), child_limits));
      field.fields.back().help = help;
    };
    T::visit(value, [&](std::string_view name, auto& child, const auto&... about) {
      [&](std::string_view help = "", const Limits& child_limits = Limits()) {
        add(name, child, help, child_limits);
      }(about...);
    });
    if constexpr (requires { value.problem(); }) {
      field.check = [&value] { return value.problem(); };
    }
  } else if constexpr (requires {
                         value.resize(0);
                         value.front();
                       } && !std::is_same_v<T, std::string>) {
    field.kind = Field::Kind::List;
    field.expected = Visitable<typename T::value_type> ? "a list of maps" : "a list";
    field.size = [&value] { return value.size(); };
    field.resize = [&value](size_t size) { value.resize(size); };
    field.element = [&value, key, limits](size_t i) {
      return describe(value[i], key + '.' + std::to_string(i), limits);
    };
  } else if constexpr (Optional<T>) {
    field = detail::describe_value<typename T::value_type>(value, limits);
  } else {
    field = detail::describe_value<T>(value, limits);
  }
  field.key = key;
  return field;
}

/// Every dotted key under `field`, sections and list elements included, depth first.
std::vector<std::string> all_keys(const Field& field);

/// The key of `keys` that a user who wrote `key` most likely meant. A key with the same
/// last part in another section is near; `keys` must not be empty.
std::string nearest_key(std::string_view key, const std::vector<std::string>& keys);

}  // namespace pupil
