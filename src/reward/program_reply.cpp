#include "reward/program_reply.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/json_depth.h"
#include "base/quote.h"

namespace pupil {

namespace {

using nlohmann::json;

ProgramLine noise() {
  return {};
}

ProgramLine broken(const std::string& what, std::string_view line) {
  return {
      ProgramLine::Kind::broken, {}, "its reply " + what + ": " + in_quotes(line, 120)};
}

std::string short_text(const json& value) {
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  return in_quotes(json_text(value));
}

Score score_of(const json& value) {
  if (value.is_null()) return {std::nullopt, "the program gave no score"};
  if (!value.is_number()) {
    return {
        std::nullopt,
        "the program gave " + short_text(value) + ", expected a number or null"};
  }
  const double score = value.get<double>();
  if (std::abs(score) <= kLargestScore) return {score, ""};  // false for nan
  return {
      std::nullopt,
      "the program gave " + short_text(value) + ", expected a number from -1e9 to 1e9"};
}

// A dictionary that is printed while looking for a mistake is no reply; what speaks of
// scores is meant as one.
bool is_meant_as_reply(std::string_view line) {
  return line.find("\"scores\"") != line.npos;
}

ProgramLine read_object(
    const json& object, std::string_view line, int64_t id, size_t num_items) {
  const auto given = object.find("id");
  const bool has_id = given != object.end() && given->is_number_integer();
  const auto scores = object.find("scores");
  if (!has_id) {
    return scores == object.end() ? noise()
                                  : broken("has not the request's integer `id`", line);
  }
  if (*given != id) return noise();
  if (scores == object.end()) return broken("has no `scores`", line);
  if (!scores->is_array()) return broken("has `scores` that are no list", line);
  if (scores->size() != num_items) {
    return broken(
        "has " + std::to_string(scores->size()) + " scores, expected " +
            std::to_string(num_items),
        line);
  }
  ProgramLine reply{ProgramLine::Kind::reply, {}, {}};
  for (const json& value : *scores) reply.scores.push_back(score_of(value));
  return reply;
}

}  // namespace

ProgramLine read_program_line(std::string_view line, int64_t id, size_t num_items) {
  const size_t start = line.find_first_not_of(" \t\r");
  if (start == line.npos || line[start] != '{') return noise();
  const json object = json_or_discarded(line);
  if (object.is_object()) return read_object(object, line, id, num_items);
  if (!is_meant_as_reply(line)) return noise();
  if (is_nested_too_deep(line))
    return broken(std::string("is ") + kNestedTooDeep, line);
  return broken("is not valid JSON (for NaN and infinity send null)", line);
}

}  // namespace pupil
