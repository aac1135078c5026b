#include "reward/judge_json.h"

#include <set>
#include <string>
#include <vector>

namespace pupil {

namespace {

using nlohmann::json;

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

}  // namespace

std::string_view bare_reply(std::string_view text) {
  return without_fence(without_thinking(trimmed(text)));
}

json parse_strict(std::string_view text, int deepest) {
  std::vector<std::set<std::string>> keys(static_cast<size_t>(deepest) + 2);
  bool strict = text.size() <= kMaxReplyBytes;
  auto watch = [&](int depth, json::parse_event_t event, json& value) {
    bool opens = event == json::parse_event_t::object_start ||
                 event == json::parse_event_t::array_start;
    strict = strict && !(opens && depth > deepest);
    if (!strict) return false;
    auto level = static_cast<size_t>(depth);
    if (opens) keys[level + 1].clear();
    if (event == json::parse_event_t::key)
      strict = keys[level].insert(value.get<std::string>()).second;
    return true;
  };
  if (!strict) return json(json::value_t::discarded);
  json out = json::parse(text.begin(), text.end(), watch, false);
  return strict && out.is_object() ? out : json(json::value_t::discarded);
}

}  // namespace pupil
