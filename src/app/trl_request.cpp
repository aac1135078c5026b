#include "app/trl_request.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <stdexcept>

#include "app/trl_fields.h"
#include "base/json.h"
#include "base/quote.h"
#include "config/schema.h"

namespace pupil {

namespace {

using nlohmann::json;

std::string shown(const json& value) {
  return in_quotes(json_text(value));
}

// Python writes NaN and Infinity, which JSON does not have, and 1e999 is none either:
// the key before the first of them, where there is one.
std::optional<std::string> field_not_finite(const std::string& line) {
  std::string key, last;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"') {
      size_t begin = ++i;
      while (i < line.size() && line[i] != '"') i += line[i] == '\\' ? 2 : 1;
      last = line.substr(begin, std::min(i, line.size()) - begin);
    } else if (line[i] == ':') {
      key = last;
    } else if (line[i] == 'N' || line[i] == 'I') {
      return key;
    } else if (std::isdigit(static_cast<unsigned char>(line[i]))) {
      char* end = nullptr;
      double value = std::strtod(line.c_str() + i, &end);
      if (!std::isfinite(value)) return key;
      i = static_cast<size_t>(end - line.c_str()) - 1;
    }
  }
  return std::nullopt;
}

json parse_object(const std::string& line) {
  if (auto key = field_not_finite(line)) {
    throw std::invalid_argument(
        *key + ": expected finite numbers, got one that is not; null is unset");
  }
  auto object = parse_json(line, "request");
  if (!object.is_object()) {
    throw std::invalid_argument("expected a JSON object, got " + shown(object));
  }
  return object;
}

std::vector<std::string> grpo_config_fields() {
  std::vector<std::string> names;
  std::string fields(kGrpoConfigFields);
  for (size_t at = 1; at < fields.size();) {
    size_t end = fields.find(' ', at);
    names.push_back(fields.substr(at, end - at));
    at = end + 1;
  }
  return names;
}

void check_key(
    const std::string& key,
    std::initializer_list<std::string_view> inputs,
    MoreKeys more) {
  if (std::find(inputs.begin(), inputs.end(), key) != inputs.end()) return;
  bool takes_config = more == MoreKeys::grpo_config;
  if (takes_config && is_grpo_config_field(key)) return;
  std::vector<std::string> known(inputs.begin(), inputs.end());
  if (takes_config) {
    for (auto& name : grpo_config_fields()) known.push_back(std::move(name));
  }
  throw std::invalid_argument(
      "no such key: " + in_quotes(key) + "; did you mean " + nearest_key(key, known) +
      "?");
}

float to_float(std::string_view field, const json& value) {
  if (value.is_boolean()) return value.get<bool>() ? 1.0f : 0.0f;
  if (!value.is_number()) reject_field(field, "numbers", value);
  auto number = static_cast<float>(value.get<double>());
  if (!std::isfinite(number)) reject_field(field, "numbers of float32", value);
  return number;
}

}  // namespace

void reject_field(
    std::string_view field, const std::string& expected, const json& got) {
  throw std::invalid_argument(
      std::string(field) + ": expected " + expected + ", got " + shown(got));
}

TrlRequest::TrlRequest(
    const std::string& line,
    std::initializer_list<std::string_view> inputs,
    MoreKeys more)
    : object_(parse_object(line)) {
  for (const auto& [key, value] : object_.items()) check_key(key, inputs, more);
}

bool TrlRequest::has(const char* key) const {
  return object_.contains(key) && !object_[key].is_null();
}

const json& TrlRequest::at(const char* key) const {
  if (has(key)) return object_[key];
  throw std::invalid_argument(std::string(key) + ": is missing");
}

std::optional<double> TrlRequest::number(const char* key) const {
  if (!has(key)) return std::nullopt;
  if (!object_[key].is_number()) reject_field(key, "a number", object_[key]);
  return object_[key].get<double>();
}

double TrlRequest::number(const char* key, double otherwise) const {
  return number(key).value_or(otherwise);
}

double TrlRequest::number_within(
    const char* key, double otherwise, double least, double most) const {
  double value = number(key, otherwise);
  if (value >= least && value <= most) return value;
  auto limit = [](double x) { return json_text(json(x)); };
  auto range = std::isfinite(most) ? "from " + limit(least) + " to " + limit(most)
                                   : "of at least " + limit(least);
  reject_field(key, "a number " + range, object_[key]);
}

int TrlRequest::count(const char* key, int otherwise) const {
  if (!has(key)) return otherwise;
  const auto& value = object_[key];
  bool whole = value.is_number_integer() && value >= 1 && value <= 1 << 30;
  if (!whole) reject_field(key, "a whole number from 1", value);
  return value.get<int>();
}

bool TrlRequest::flag(const char* key, bool otherwise) const {
  if (!has(key)) return otherwise;
  if (!object_[key].is_boolean()) reject_field(key, "true or false", object_[key]);
  return object_[key].get<bool>();
}

std::string TrlRequest::text(const char* key, const std::string& otherwise) const {
  if (!has(key)) return otherwise;
  if (!object_[key].is_string()) reject_field(key, "text", object_[key]);
  return object_[key].get<std::string>();
}

NumberTable TrlRequest::table(const char* key) const {
  const auto& rows = at(key);
  auto is_row = [](const json& row) { return row.is_array() && !row.empty(); };
  if (!is_row(rows) || !is_row(rows.front())) {
    reject_field(key, "a table [B][T] of at least one number", rows);
  }
  NumberTable table;
  table.rows = static_cast<int>(rows.size());
  table.columns = static_cast<int>(rows.front().size());
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!is_row(rows[i]) || rows[i].size() != rows.front().size()) {
      reject_field(
          key,
          "rows of one length, " + std::to_string(table.columns) + " in row " +
              std::to_string(i),
          rows[i]);
    }
    for (const auto& value : rows[i]) table.values.push_back(to_float(key, value));
  }
  return table;
}

std::vector<float> TrlRequest::list(const char* key) const {
  const auto& values = at(key);
  if (!values.is_array()) reject_field(key, "a list of numbers", values);
  std::vector<float> list;
  for (const auto& value : values) list.push_back(to_float(key, value));
  return list;
}

void answer_lines(
    std::istream& in, std::ostream& out, const char* command, const AnswerFn& answer) {
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      out << answer(line).dump() << std::endl;
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument(
          "[" + std::string(command) + "] line " + std::to_string(number) + ": " +
          error.what());
    }
  }
}

}  // namespace pupil
