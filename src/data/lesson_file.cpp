#include "data/lesson_file.h"

#include <algorithm>
#include <stdexcept>

#include "data/jsonl.h"

namespace pupil {
namespace {

using Json = nlohmann::json;
using Messages = std::vector<Message>;

[[noreturn]] void fail(const std::string& where, const std::string& what) {
  throw std::invalid_argument(where + what);
}

const Json& member(const Json& object, const char* key, const std::string& where) {
  auto found = object.find(key);
  if (found != object.end()) return *found;
  fail(where, std::string("expected \"") + key + "\", got none");
}

std::string text_of(
    const Json& value, const std::string& key, const std::string& where) {
  if (!value.is_string()) fail(where, "\"" + key + "\": expected text");
  return value.get<std::string>();
}

// What a template would write of tools is not known here, and lines without it would
// teach another prompt than the one that tools are used with.
void refuse_tools(const Json& object, const char* key, const std::string& where) {
  auto found = object.find(key);
  if (found == object.end() || found->is_null() || found->empty()) return;
  fail(
      where,
      std::string("\"") + key +
          "\": tools are not supported; drop the key, or give the line as {\"text\"} "
          "with the chat as it is to be read");
}

Messages messages_of(
    const Json& list, const std::string& key, const std::string& where) {
  if (!list.is_array() || list.empty()) {
    fail(where, "\"" + key + "\": expected a list of messages");
  }
  Messages messages;
  for (const auto& item : list) {
    bool whole = item.is_object() && item.contains("role") && item.contains("content");
    if (!whole) {
      fail(where, "\"" + key + "\": expected {\"role\", \"content\"} in every message");
    }
    refuse_tools(item, "tool_calls", where);
    messages.push_back(
        {text_of(item["role"], "role", where),
         text_of(item["content"], "content", where)});
  }
  return messages;
}

// A text is one message of `role`.
Messages turns_of(
    const Json& object, const char* key, const char* role, const std::string& where) {
  const auto& value = member(object, key, where);
  if (value.is_string()) return {{role, value.get<std::string>()}};
  return messages_of(value, key, where);
}

// Takes the assistant's last message off the end.
std::string take_answer(Messages& turns, const char* key, const std::string& where) {
  if (turns.back().role != "assistant") {
    fail(
        where,
        std::string("\"") + key +
            "\": expected an assistant's message at its end, got " + turns.back().role +
            "'s");
  }
  auto content = std::move(turns.back().content);
  turns.pop_back();
  return content;
}

void expect_prompt(const Lesson& lesson, const std::string& where) {
  if (lesson.prompt.empty()) fail(where, "expected a message before the answer");
}

Lesson answered(const Json& line, const char* key, const std::string& where) {
  Lesson lesson;
  lesson.prompt = turns_of(line, "prompt", "user", where);
  auto turns = turns_of(line, key, "assistant", where);
  lesson.answers.push_back({take_answer(turns, key, where)});
  lesson.prompt.insert(lesson.prompt.end(), turns.begin(), turns.end());
  return lesson;
}

Lesson imitation(const Json& line, const std::string& where) {
  Lesson lesson;
  if (line.contains("messages")) {
    lesson.prompt = messages_of(line["messages"], "messages", where);
    lesson.answers.push_back({take_answer(lesson.prompt, "messages", where)});
    expect_prompt(lesson, where);
    return lesson;
  }
  if (line.contains("prompt")) return answered(line, "completion", where);
  if (!line.contains("text")) {
    fail(where, "expected \"messages\", \"prompt\" and \"completion\", or \"text\"");
  }
  lesson.text = text_of(line["text"], "text", where);
  if (lesson.text.empty()) fail(where, "\"text\": expected some, got none");
  return lesson;
}

bool same(const Messages& a, const Messages& b) {
  auto equal = [](const Message& x, const Message& y) {
    return x.role == y.role && x.content == y.content;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), equal);
}

Lesson pair(const Json& line, const std::string& where) {
  Lesson lesson;
  if (line.contains("prompt")) lesson.prompt = turns_of(line, "prompt", "user", where);
  auto chosen = turns_of(line, "chosen", "assistant", where);
  auto rejected = turns_of(line, "rejected", "assistant", where);
  lesson.answers = {
      {take_answer(chosen, "chosen", where), true},
      {take_answer(rejected, "rejected", where), false}};
  if (!same(chosen, rejected)) {
    fail(where, "\"rejected\": expected \"chosen\"'s messages up to the answer");
  }
  lesson.prompt.insert(lesson.prompt.end(), chosen.begin(), chosen.end());
  expect_prompt(lesson, where);
  return lesson;
}

Lesson labelled(const Json& line, const std::string& where) {
  auto lesson = answered(line, "completion", where);
  const auto& label = member(line, "label", where);
  if (!label.is_boolean()) fail(where, "\"label\": expected true or false");
  lesson.answers[0].good = label.get<bool>();
  return lesson;
}

}  // namespace

std::vector<Lesson> load_lessons(const std::string& path, LessonKind kind) {
  JsonlReader reader(path);
  std::vector<Lesson> lessons;
  while (auto line = reader.next()) {
    refuse_tools(*line, "tools", reader.where());
    switch (kind) {
      case LessonKind::imitate:
        lessons.push_back(imitation(*line, reader.where()));
        break;
      case LessonKind::pairs:
        lessons.push_back(pair(*line, reader.where()));
        break;
      case LessonKind::labels:
        lessons.push_back(labelled(*line, reader.where()));
        break;
    }
  }
  if (lessons.empty()) {
    throw std::invalid_argument("[" + path + "] expected at least one line, got none");
  }
  return lessons;
}

}  // namespace pupil
