// One answer against another.

#include <algorithm>

#include "reward/chat_text.h"
#include "reward/judge_data.h"
#include "reward/judge_forms.h"
#include "reward/judge_json.h"

namespace pupil {

using nlohmann::json;

ChatRequest pair_request(
    const Rubric& rubric,
    const Task& task,
    std::string_view a,
    std::string_view b,
    const JudgeSettings& settings) {
  ChatRequest request;
  request.system =
      judge_instructions(rubric, "two students' answers, a and b,") +
      "The order of the two means nothing. Say which is better by these criteria, or "
      "tie. Reply with one JSON object and nothing else: {\"reason\": \"one short "
      "sentence\", \"better\": \"a\", \"b\" or \"tie\"}";
  request.messages = {
      {"user",
       "The mark is " + std::string(kMarkSlot) + ".\n{" + task_json(task) +
           ",\"a\":" + submission_json(a) + ",\"b\":" + submission_json(b) +
           "}\nCompare the submissions between the marks; reply with the JSON object "
           "alone."}};
  request.temperature = settings.temperature;
  request.max_tokens = settings.max_tokens;
  request.json_schema =
      json{
          {"type", "object"},
          {"additionalProperties", false},
          {"required", {"reason", "better"}},
          {"properties",
           {{"reason", {{"type", "string"}}},
            {"better", {{"type", "string"}, {"enum", {"a", "b", "tie"}}}}}}}
          .dump();
  return request;
}

Judgement read_pair(std::string_view text) {
  text = bare_reply(text);
  json reply = parse_strict(text, 0);
  bool shaped = reply.is_object() && reply.size() == 2 && reply.contains("reason") &&
                reply["reason"].is_string() && reply.contains("better");
  if (shaped) {
    std::string reason = one_line(reply["reason"].get<std::string>());
    if (reply["better"] == "a") return {1.0, reason};
    if (reply["better"] == "b") return {0.0, reason};
    if (reply["better"] == "tie") return {0.5, reason};
  }
  return {
      std::nullopt,
      "the judge's reply does not say a, b or tie: " + one_line(text, 80)};
}

std::vector<std::pair<size_t, size_t>> tournament(size_t count, size_t most) {
  std::vector<std::pair<size_t, size_t>> pairs;
  size_t seats = count + count % 2;  // the last seat of an odd number stays empty
  for (size_t round = 0; round + 1 < seats; ++round) {
    auto player = [&](size_t seat) {
      return seat == 0 ? 0 : 1 + (seat - 1 + round) % (seats - 1);
    };
    for (size_t seat = 0; seat < seats / 2; ++seat) {
      auto [low, high] = std::minmax({player(seat), player(seats - 1 - seat)});
      if (high >= count) continue;
      if (pairs.size() == most) return pairs;
      pairs.emplace_back(low, high);
    }
  }
  return pairs;
}

}  // namespace pupil
