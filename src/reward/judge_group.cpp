// All answers of a group in one request.

#include "base/random.h"
#include "reward/chat_text.h"
#include "reward/judge_data.h"
#include "reward/judge_forms.h"
#include "reward/judge_json.h"

namespace pupil {

namespace {

using nlohmann::json;

std::string schema(const Rubric& rubric) {
  json properties = graded_properties(rubric);
  properties["answer"] = {{"type", "integer"}};
  json required = json::array();
  for (const auto& [name, unused] : properties.items()) required.push_back(name);
  json item = {
      {"type", "object"},
      {"additionalProperties", false},
      {"required", required},
      {"properties", properties}};
  return json{
      {"type", "object"},
      {"additionalProperties", false},
      {"required", {"answers"}},
      {"properties", {{"answers", {{"type", "array"}, {"items", item}}}}}}
      .dump();
}

std::string instructions(const Rubric& rubric) {
  std::string text =
      judge_instructions(rubric, "several students' answers") +
      "The order of the submissions means nothing. Compare them, then give each an "
      "integer from 0 to 10 for each criterion. An answer without working code gets 0 "
      "everywhere. Reply with one JSON object and nothing else: {\"answers\": "
      "[{\"answer\": its number, \"reason\": \"one short sentence\"";
  for (const auto& criterion : rubric.criteria)
    text += ", \"" + criterion.name + "\": n";
  return text + "}, ...]}";
}

GroupJudgement invalid(std::string what) {
  return {{}, std::move(what)};
}

}  // namespace

ChatRequest group_request(
    const Rubric& rubric,
    const Task& task,
    std::span<const std::string_view> answers,
    const JudgeSettings& settings) {
  std::string data = "{" + task_json(task) + ",\"submissions\":[";
  for (size_t i = 0; i < answers.size(); ++i) {
    data += (i ? ",{" : "{") + ("\"answer\":" + std::to_string(i + 1)) +
            ",\"submission\":" + submission_json(answers[i]) + "}";
  }
  ChatRequest request;
  request.system = instructions(rubric);
  request.messages = {
      {"user",
       "The mark is " + std::string(kMarkSlot) + ".\n" + data + "]}\nGrade the " +
           std::to_string(answers.size()) +
           " submissions between the marks; reply with the JSON object alone."}};
  request.temperature = settings.temperature;
  request.max_tokens = settings.max_tokens;
  request.json_schema = schema(rubric);
  return request;
}

GroupJudgement read_group(const Rubric& rubric, std::string_view text, size_t count) {
  text = bare_reply(text);
  json reply = parse_strict(text, 2);
  if (!reply.is_object() || reply.size() != 1 || !reply.contains("answers") ||
      !reply["answers"].is_array()) {
    return invalid(
        "the judge's reply is not {\"answers\": [...]}: " + one_line(text, 80));
  }
  const json& list = reply["answers"];
  if (list.size() != count) {
    return invalid(
        "the judge graded " + std::to_string(list.size()) + " answers of " +
        std::to_string(count));
  }
  GroupJudgement out;
  out.answers.resize(count);
  std::vector<bool> seen(count);
  for (const json& graded : list) {
    bool shaped = graded.is_object() && graded.size() == rubric.criteria.size() + 2 &&
                  graded.contains("answer") && graded["answer"].is_number_unsigned();
    uint64_t number = shaped ? graded["answer"].get<uint64_t>() : 0;
    if (number < 1 || number > count || seen[number - 1]) {
      return invalid("the judge did not grade each answer once");
    }
    seen[number - 1] = true;
    out.answers[number - 1] = weighed(rubric, graded);
    if (!out.answers[number - 1].score) return invalid(out.answers[number - 1].reason);
  }
  return out;
}

}  // namespace pupil
