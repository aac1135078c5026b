// `pupil tokenize`: text and chats to token ids and back, one JSON object a line.

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "app/commands.h"
#include "base/json.h"
#include "text/tokenizer.h"

namespace pupil {
namespace {

using nlohmann::json;

struct TokenizeOptions {
  std::string model;
  bool decode = false;
};

[[noreturn]] void expected(const std::string& what) {
  throw std::invalid_argument("expected " + what);
}

std::string text_field(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_string()) {
    expected(std::string("text under \"") + key + "\"");
  }
  return object[key];
}

/// Throws unless every key of `object` is one of `keys`.
void check_keys(const json& object, std::initializer_list<std::string_view> keys) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    expected("no key " + json(key).dump() + " beside " + json(*keys.begin()).dump());
  }
}

std::vector<Message> messages_of(const json& list) {
  if (!list.is_array()) expected("a list under \"messages\"");
  std::vector<Message> messages;
  for (const auto& entry : list) {
    Message message{text_field(entry, "role"), text_field(entry, "content")};
    check_keys(entry, {"role", "content"});
    messages.push_back(message);
  }
  return messages;
}

std::vector<int> ids_of(const json& list, int vocab_size) {
  if (!list.is_array()) expected("a list under \"ids\"");
  std::vector<int> ids;
  for (const auto& id : list) {
    if (!id.is_number_unsigned() || id >= vocab_size) {
      expected(
          "token ids from 0 to " + std::to_string(vocab_size - 1) + ", got " +
          id.dump());
    }
    ids.push_back(id);
  }
  return ids;
}

json encode(const Tokenizer& tokenizer, const json& line) {
  if (line.is_object() && line.contains("messages")) {
    check_keys(line, {"messages", "add_generation_prompt"});
    auto prompt = line.value("add_generation_prompt", json(false));
    if (!prompt.is_boolean()) expected("true or false for add_generation_prompt");
    auto messages = messages_of(line["messages"]);
    return {
        {"text", tokenizer.chat_text(messages, prompt)},
        {"ids", tokenizer.chat_ids(messages, prompt)}};
  }
  auto text = text_field(line, "text");
  check_keys(line, {"text"});
  return {{"ids", tokenizer.encode(text)}};
}

json decode(const Tokenizer& tokenizer, const json& line) {
  if (!line.is_object() || !line.contains("ids")) expected("a list under \"ids\"");
  check_keys(line, {"ids"});
  return {{"text", tokenizer.decode(ids_of(line["ids"], tokenizer.vocab_size()))}};
}

/// Answers every line of stdin on stdout, in ASCII: no reader takes U+2028 for the end
/// of a line. The first bad one ends it.
void tokenize(const TokenizeOptions& options) {
  Tokenizer tokenizer(options.model);
  std::string line;
  for (int number = 1; std::getline(std::cin, line); ++number) {
    auto source = "line " + std::to_string(number);
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      auto request = parse_json(line, "request");
      auto reply =
          options.decode ? decode(tokenizer, request) : encode(tokenizer, request);
      std::cout << reply.dump(-1, ' ', true) << '\n';
    } catch (const std::exception& error) {
      std::cout.flush();
      throw std::invalid_argument("[tokenize] " + source + ": " + error.what());
    }
  }
  std::cout.flush();
  if (!std::cout) throw std::runtime_error("[tokenize] cannot write to stdout");
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto options = std::make_shared<TokenizeOptions>();
  auto* command = app.add_subcommand(
      "tokenize",
      "Token ids of texts and chats, and back: a JSON object a line on stdin and "
      "stdout");
  command->add_option("--model", options->model, "model directory")->required();
  command->add_flag("--decode", options->decode, "read {\"ids\"}, write {\"text\"}");
  command->footer(
      "{\"text\":\"..\"} -> {\"ids\":[..]}\n"
      "{\"messages\":[{\"role\",\"content\"}],\"add_generation_prompt\":true} -> "
      "{\"text\",\"ids\"}\n"
      "--decode: {\"ids\":[..]} -> {\"text\":\"..\"}");
  command->callback([options] { tokenize(*options); });
}

}  // namespace pupil
