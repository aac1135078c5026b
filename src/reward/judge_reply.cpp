// The judge's reply, parsed without trust: anything but the exact shape is no score.

#include <nlohmann/json.hpp>
#include <set>

#include "reward/chat_text.h"
#include "reward/judge.h"

namespace pupil {

namespace {

using nlohmann::json;

constexpr size_t kMaxReplyBytes = 64 << 10;
constexpr int kMaxGrade = 10;

std::string_view trimmed(std::string_view text) {
  auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// Reasoning models of compatible servers put it before the answer. One that never ends
// leaves no answer.
std::string_view without_thinking(std::string_view text) {
  constexpr std::string_view kEnd = "</think>";
  if (!text.starts_with("<think>")) return text;
  auto end = text.find(kEnd);
  return end == std::string_view::npos ? "" : trimmed(text.substr(end + kEnd.size()));
}

std::string_view without_fence(std::string_view text) {
  if (!text.starts_with("```") || !text.ends_with("```") || text.size() < 6)
    return text;
  std::string_view inside = text.substr(3, text.size() - 6);
  auto line_end = inside.find('\n');
  if (line_end == std::string_view::npos) return text;
  std::string_view language = trimmed(inside.substr(0, line_end));
  if (!language.empty() && language != "json" && language != "JSON") return text;
  return trimmed(inside.substr(line_end));
}

// Parses one flat object; a key that comes twice could hide a second grade.
json parse_flat(std::string_view text) {
  std::set<std::string> keys;
  bool flat = true;
  auto watch = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::key) {
      flat = flat && keys.insert(value.get<std::string>()).second;
    }
    bool opens = event == json::parse_event_t::object_start ||
                 event == json::parse_event_t::array_start;
    flat = flat && !(opens && depth > 0);
    return true;
  };
  json out = json::parse(text.begin(), text.end(), watch, false);
  return flat && out.is_object() ? out : json(json::value_t::discarded);
}

Judgement invalid(std::string what) {
  return {std::nullopt, std::move(what)};
}

bool is_grade(const json& value) {
  return value.is_number_unsigned() && value.get<uint64_t>() <= kMaxGrade;
}

Judgement weigh(const json& reply) {
  int sum = 0;
  std::string grades;
  for (const auto& criterion : kCriteria) {
    auto found = reply.find(criterion.name);
    if (found == reply.end() || !is_grade(*found)) {
      return invalid(
          std::string("the judge gave no integer from 0 to 10 for ") + criterion.name);
    }
    int grade = found->get<int>();
    sum += criterion.weight * grade;
    grades += std::string(criterion.name) + " " + std::to_string(grade) + ", ";
  }
  grades.replace(grades.size() - 2, 2, ": ");
  return {
      sum / (100.0 * kMaxGrade),
      grades + one_line(reply.at("reason").get<std::string>())};
}

}  // namespace

Judgement read_judgement(std::string_view text) {
  if (text.size() > kMaxReplyBytes) return invalid("the judge's reply is too long");
  text = without_fence(without_thinking(trimmed(text)));
  json reply = parse_flat(text);
  if (!reply.is_object()) {
    return invalid(
        "the judge's reply is not one flat JSON object: " + one_line(text, 80));
  }
  auto reason = reply.find("reason");
  if (reason == reply.end() || !reason->is_string()) {
    return invalid("the judge gave no reason");
  }
  if (reply.size() != kCriteria.size() + 1) {
    return invalid("the judge's reply has fields that were not asked for");
  }
  return weigh(reply);
}

}  // namespace pupil
