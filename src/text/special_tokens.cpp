#include "text/special_tokens.h"

#include <optional>
#include <stdexcept>

namespace pupil {
namespace {

using nlohmann::json;

constexpr const char* kNamedTokens[] = {
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token"};
constexpr const char* kFlags[] = {
    "special", "normalized", "single_word", "lstrip", "rstrip"};

[[noreturn]] void fail(const std::string& where, const std::string& what) {
  throw std::invalid_argument("[tokenizer] " + where + ": " + what);
}

/// A token written as text or as an object with `content`; nothing for null.
std::optional<std::string> token_text(const json& token, const std::string& where) {
  if (token.is_null()) return std::nullopt;
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object() && token.contains("content") && token["content"].is_string()) {
    return token["content"].get<std::string>();
  }
  fail(where, "expected a token as text or as an object with content");
}

/// An added token with every flag, from text or an object that may leave some out.
json added_token(const json& token, bool special, const std::string& where) {
  auto text = token_text(token, where);
  if (!text) fail(where, "expected a token, got null");
  json full = {{"content", *text}};
  for (auto flag : kFlags) full[flag] = false;
  full["special"] = special;
  full["normalized"] = !special;
  if (!token.is_object()) return full;
  for (auto flag : kFlags) {
    if (!token.contains(flag)) continue;
    if (!token[flag].is_boolean())
      fail(where, std::string(flag) + ": not true or false");
    full[flag] = token[flag];
  }
  return full;
}

int token_number(const std::string& text, const std::string& where) {
  bool digits = !text.empty() && text.size() < 10 &&
                text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits) fail(where, "expected a token id, got '" + text + "'");
  return std::stoi(text);
}

/// `added_tokens_decoder`: id to token.
std::map<int, json> decoder_tokens(const json& decoder, const std::string& where) {
  if (!decoder.is_object()) fail(where, "added_tokens_decoder: expected an object");
  std::map<int, json> tokens;
  for (const auto& [key, token] : decoder.items()) {
    auto here = where + ": added_tokens_decoder." + key;
    tokens[token_number(key, here)] = added_token(token, false, here);
  }
  return tokens;
}

/// added_tokens.json: text to id. What is special among them is said elsewhere.
std::map<int, json> listed_tokens(const json& list, const std::string& where) {
  std::map<int, json> tokens;
  for (const auto& [text, id] : list.items()) {
    if (!id.is_number_unsigned() || id > 1000000000) {
      fail(where, "added_tokens." + text + ": expected a token id");
    }
    tokens[id.get<int>()] = added_token(text, false, where);
  }
  return tokens;
}

/// Every token that the configuration calls special, by its text.
std::map<std::string, json> special_tokens(
    const json& config, const std::string& where) {
  std::map<std::string, json> special;
  auto add = [&](const json& token, const std::string& key) {
    if (token.is_null()) return;
    auto full = added_token(token, true, where + ": " + key);
    full["special"] = true;
    special[full["content"]] = full;
  };
  for (auto key : kNamedTokens) add(config.value(key, json()), key);
  for (auto key : {"additional_special_tokens", "extra_special_tokens"}) {
    auto tokens = config.value(key, json::array());
    if (tokens.is_null()) continue;
    if (!tokens.is_structured()) fail(where, std::string(key) + ": expected a list");
    for (const auto& token : tokens) add(token, key);
  }
  return special;
}

}  // namespace

std::map<std::string, std::string> named_tokens(
    const json& config, const std::string& where) {
  std::map<std::string, std::string> named;
  for (auto key : kNamedTokens) {
    auto text = token_text(config.value(key, json()), where + ": " + key);
    if (text) named[key] = *text;
  }
  return named;
}

json tokens_to_add(const json& config, const json& own, const std::string& where) {
  std::map<std::string, json> known;
  for (const auto& token : own) known[token["content"]] = token;
  auto by_id = config.contains("added_tokens_decoder")
                   ? decoder_tokens(config["added_tokens_decoder"], where)
                   : listed_tokens(config.value("added_tokens", json::object()), where);
  auto special = special_tokens(config, where);
  auto merged = json::array();
  auto add = [&](json token) {
    std::string text = token["content"];
    if (auto found = special.find(text); found != special.end()) {
      if (!token["special"].get<bool>())
        token["normalized"] = found->second["normalized"];
      token["special"] = true;
      special.erase(found);
    }
    merged.push_back(token);
  };
  for (auto& [id, token] : by_id) {
    bool listed_only = !config.contains("added_tokens_decoder");
    if (listed_only && known.count(token["content"])) token = known[token["content"]];
    token["id"] = id;
    add(token);
    known.erase(token["content"]);
  }
  for (const auto& [text, token] : known) {
    if (special.count(text)) add(token);
  }
  for (const auto& [text, token] : std::map(special)) add(token);
  return merged;
}

}  // namespace pupil
