#include "text/chat_template.h"

#include <ctime>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "formats/input_file.h"
#include "text/chat_marks.h"

namespace pupil {
namespace {

using nlohmann::ordered_json;

ordered_json messages_json(
    std::span<const Message> messages, const std::string& where) {
  auto list = ordered_json::array();
  for (const auto& message : messages) {
    if (!is_utf8(message.role) || !is_utf8(message.content)) {
      throw std::invalid_argument(
          where + ": message " + std::to_string(list.size()) + " is not UTF-8");
    }
    list.push_back({{"role", message.role}, {"content", message.content}});
  }
  return list;
}

}  // namespace

ChatTemplate::ChatTemplate(
    std::string where,
    const std::string& source,
    std::map<std::string, std::string> variables,
    std::vector<std::string> special)
    : where_("[chat template] " + std::move(where)),
      variables_(std::move(variables)),
      special_(std::move(special)) {
  pt_template* compiled = nullptr;
  check_text(pt_template_new(source.data(), source.size(), &compiled), where_);
  handle_.reset(compiled);
}

std::string ChatTemplate::text(
    std::span<const Message> messages, bool add_generation_prompt) const {
  ordered_json context = {
      {"messages", messages_json(messages, where_)},
      {"tools", nullptr},
      {"documents", nullptr},
      {"add_generation_prompt", add_generation_prompt}};
  for (const auto& [name, token] : variables_) context[name] = token;
  auto dumped = context.dump();
  return text_of(where_, [&](char** text, size_t* len) {
    return pt_template_render(
        handle_.get(), dumped.data(), dumped.size(), std::time(nullptr), text, len);
  });
}

// A literal came from a message if it changes with the message. So the chat is rendered
// twice, the second time with the first character of every special literal in the
// messages replaced by another of the same size: trimming, slicing, joining and JSON do
// the same to both, and the texts differ just where a message's literal stands. Where
// they differ in more, the template looked for the literal (`'</s>' in content`): then
// the literals are wrapped in private-use characters instead, which leaves them to be
// found.
RenderedChat ChatTemplate::render(
    std::span<const Message> messages, bool add_generation_prompt) const {
  RenderedChat chat{text(messages, add_generation_prompt), {}};
  if (!has_special(messages, special_)) return chat;
  if (auto disguised = disguise(messages, special_)) {
    auto other = text(*disguised, add_generation_prompt);
    if (auto spans = disguised_spans(chat.text, other, special_)) {
      chat.plain = *spans;
      return chat;
    }
  }
  chat.text = text(wrap_special(messages, special_), add_generation_prompt);
  chat.plain = unwrap(chat.text);
  return chat;
}

}  // namespace pupil
