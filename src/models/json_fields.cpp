#include "models/json_fields.h"

#include <cmath>
#include <stdexcept>

namespace pupil {

namespace {

std::string excerpt(const nlohmann::json& value) {
  auto text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return text.size() > 60 ? text.substr(0, 60) + "..." : text;
}

std::string range_text(double min, double max) {
  auto plain = [](double x) { return nlohmann::json(x).dump(); };
  return "a number from " + plain(min) + " to " + plain(max);
}

}  // namespace

JsonFields::JsonFields(const nlohmann::json& object, std::string source)
    : object_(object), source_(std::move(source)) {
  if (!object_.is_object()) fail("expected a JSON object, got " + excerpt(object_));
}

const nlohmann::json* JsonFields::find(const char* name) const {
  auto it = object_.find(name);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

int JsonFields::integer(
    const char* name, int min, int max, std::optional<int> fallback) const {
  const auto* value = find(name);
  if (!value && fallback) return *fallback;
  double x = number(name, min, max);
  if (x != std::floor(x))
    fail(std::string(name) + ": expected an integer, got " + excerpt(*value));
  return static_cast<int>(x);
}

double JsonFields::number(
    const char* name, double min, double max, std::optional<double> fallback) const {
  const auto* value = find(name);
  if (!value && fallback) return *fallback;
  if (!value) fail(std::string(name) + " is missing");
  if (value->is_number()) {
    double x = value->get<double>();
    if (std::isfinite(x) && x >= min && x <= max) return x;
  }
  fail(
      std::string(name) + ": expected " + range_text(min, max) + ", got " +
      excerpt(*value));
}

std::vector<int> JsonFields::integers(
    const char* name, int min, int max, const std::vector<int>& fallback) const {
  const auto* list = find(name);
  if (!list) return fallback;
  if (!list->is_array())
    fail(std::string(name) + ": expected a list of integers, got " + excerpt(*list));
  std::vector<int> values;
  for (const auto& value : *list) {
    nlohmann::json one = {{name, value}};
    values.push_back(JsonFields(one, source_).integer(name, min, max));
  }
  return values;
}

bool JsonFields::is_null(const char* name) const {
  auto it = object_.find(name);
  return it != object_.end() && it->is_null();
}

bool JsonFields::boolean(const char* name, bool fallback) const {
  const auto* value = find(name);
  if (!value) return fallback;
  if (!value->is_boolean())
    fail(std::string(name) + ": expected true or false, got " + excerpt(*value));
  return value->get<bool>();
}

std::string JsonFields::string(
    const char* name, std::optional<std::string> fallback) const {
  const auto* value = find(name);
  if (!value && fallback) return *fallback;
  if (!value) fail(std::string(name) + " is missing");
  if (!value->is_string())
    fail(std::string(name) + ": expected a string, got " + excerpt(*value));
  return value->get<std::string>();
}

void JsonFields::fail(const std::string& what) const {
  throw std::invalid_argument("[model] " + source_ + ": " + what);
}

}  // namespace pupil
