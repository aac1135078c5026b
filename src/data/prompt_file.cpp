#include "data/prompt_file.h"

#include <cstring>
#include <fstream>
#include <stdexcept>

#include "base/json.h"
#include "base/quote.h"

namespace pupil {

namespace {

constexpr int kMaxTokenId = 1 << 21;

[[noreturn]] void fail(const std::string& where, const std::string& what) {
  throw std::invalid_argument("[prompts] " + where + ": " + what);
}

// What is dropped in silence would be missed: a call of a tool, the name of who speaks.
void expect_message_keys(const nlohmann::json& message, const std::string& where) {
  for (const auto& [key, value] : message.items()) {
    if (key == "role" || key == "content") continue;
    fail(
        where,
        "\"messages\": expected no keys but role, content, got " + in_quotes(key) +
            "; remove it");
  }
}

std::string text_member(
    const nlohmann::json& object, const char* name, const std::string& where) {
  auto it = object.find(name);
  if (it == object.end() || !it->is_string()) {
    fail(where, std::string("\"") + name + "\": expected a string");
  }
  return it->get<std::string>();
}

std::vector<Message> read_messages(
    const nlohmann::json& list, const std::string& where) {
  if (!list.is_array() || list.empty()) {
    fail(where, "\"messages\": expected a list of {\"role\",\"content\"}");
  }
  std::vector<Message> messages;
  for (const auto& item : list) {
    if (!item.is_object()) fail(where, "\"messages\": expected objects");
    expect_message_keys(item, where);
    messages.push_back(
        {text_member(item, "role", where), text_member(item, "content", where)});
  }
  return messages;
}

std::vector<int> read_ids(const nlohmann::json& list, const std::string& where) {
  if (!list.is_array() || list.empty()) {
    fail(where, "\"input_ids\": expected a list of token ids");
  }
  std::vector<int> ids;
  for (const auto& id : list) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 ||
        id.get<int64_t>() >= kMaxTokenId) {
      fail(where, "\"input_ids\": expected token ids, got " + id.dump());
    }
    ids.push_back(id.get<int>());
  }
  return ids;
}

std::string read_id(const nlohmann::json& object, size_t index) {
  auto it = object.find("id");
  if (it == object.end()) return std::to_string(index);
  return it->is_string() ? it->get<std::string>() : it->dump();
}

}  // namespace

PromptLine parse_prompt_line(
    std::string_view line, const std::string& where, size_t index) {
  auto object = parse_json(line, "[prompts] " + where);
  if (!object.is_object()) fail(where, "expected a JSON object");
  int forms = object.contains("prompt") + object.contains("messages") +
              object.contains("input_ids");
  if (forms != 1)
    fail(where, "expected one of \"prompt\", \"messages\", \"input_ids\"");
  // Other columns of a data set do not change a prompt; these would.
  if (auto tools = object.find("tools"); tools != object.end() && !tools->empty())
    fail(where, "\"tools\": no template is given them here; remove the key");
  PromptLine prompt;
  prompt.id = read_id(object, index);
  if (object.contains("prompt")) prompt.text = text_member(object, "prompt", where);
  if (object.contains("messages")) {
    prompt.messages = read_messages(object["messages"], where);
  }
  if (object.contains("input_ids"))
    prompt.input_ids = read_ids(object["input_ids"], where);
  return prompt;
}

std::vector<PromptLine> read_prompt_file(const std::string& path) {
  std::ifstream in(path);
  if (!in) fail(path, std::strerror(errno));
  std::vector<PromptLine> prompts;
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    auto where = path + ":" + std::to_string(number);
    prompts.push_back(parse_prompt_line(line, where, prompts.size()));
  }
  if (prompts.empty()) fail(path, "no prompt in it");
  return prompts;
}

}  // namespace pupil
