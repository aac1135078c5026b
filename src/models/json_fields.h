// Reading numbers out of a config.json that may say anything.

#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace pupil {

/// Fields of one JSON object, bounded and typed; errors name the file and the field.
class JsonFields {
 public:
  JsonFields(const nlohmann::json& object, std::string source);

  /// An integer within [min, max]; `fallback` when missing or null. Throws
  /// std::invalid_argument if it is missing without fallback, or anything else.
  int integer(
      const char* name, int min, int max, std::optional<int> fallback = {}) const;

  /// A finite number within [min, max].
  double number(
      const char* name,
      double min,
      double max,
      std::optional<double> fallback = {}) const;

  bool boolean(const char* name, bool fallback) const;
  std::string string(const char* name, std::optional<std::string> fallback = {}) const;

  /// A list of integers within [min, max]; `fallback` when missing or null.
  std::vector<int> integers(
      const char* name, int min, int max, const std::vector<int>& fallback) const;

  /// Whether the member is there and null.
  bool is_null(const char* name) const;

  /// The member, or nullptr when missing or null.
  const nlohmann::json* find(const char* name) const;

  [[noreturn]] void fail(const std::string& what) const;

 private:
  const nlohmann::json& object_;
  std::string source_;
};

}  // namespace pupil
