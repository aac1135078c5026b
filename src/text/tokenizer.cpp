#include "text/tokenizer.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>

#include "base/quote.h"
#include "text/chat_template.h"
#include "text/special_tokens.h"
#include "text/text_library.h"
#include "text/tokenizer_files.h"

namespace pupil {

using nlohmann::json;

struct Tokenizer::Impl {
  std::string dir;
  TokenizerHandle handle;
  std::optional<ChatTemplate> chat_template;
  int vocab_size = 0, base_vocab_size = 0, eos_id = -1;
  int num_embeddings = std::numeric_limits<int>::max();

  const ChatTemplate& chat() const {
    if (chat_template) return *chat_template;
    throw std::invalid_argument(
        "[chat template] " + dir +
        " has none, neither chat_template.jinja nor in tokenizer_config.json; use a "
        "raw "
        "prompt or add one");
  }

  std::vector<int> ids_of(
      std::string_view text, const std::vector<pt_span>& plain) const {
    auto ids = encode_text(handle.get(), text, plain);
    for (int id : ids) {
      if (id < num_embeddings) continue;
      throw std::invalid_argument(
          "[tokenizer] " + dir + ": token " + in_quotes(text_of_id(id)) + ", id " +
          std::to_string(id) + ", has no embedding in this model of " +
          std::to_string(num_embeddings) + "; leave it out of the text");
    }
    return ids;
  }

  std::string text_of_id(int id) const {
    auto number = static_cast<uint32_t>(id);
    return text_of("[tokenizer] decode", [&](char** text, size_t* len) {
      return pt_decode(handle.get(), &number, 1, false, text, len);
    });
  }
};

namespace {

json added_tokens(const pt_tokenizer* tokenizer) {
  return json::parse(text_of("[tokenizer]", [&](char** text, size_t* len) {
    return pt_added_tokens(tokenizer, text, len);
  }));
}

int id_of(const pt_tokenizer* tokenizer, std::string_view token) {
  int64_t id = -1;
  check_text(
      pt_token_id(tokenizer, token.data(), token.size(), &id), "[tokenizer] token");
  return static_cast<int>(id);
}

TokenizerHandle open(const TokenizerFiles& files, const std::string& dir) {
  auto where = "[tokenizer] " + files.source;
  pt_tokenizer* raw = nullptr;
  check_text(
      pt_tokenizer_new(files.tokenizer.data(), files.tokenizer.size(), &raw), where);
  TokenizerHandle handle(raw);
  auto added = tokens_to_add(files.config, added_tokens(raw), dir);
  auto dumped = added.dump();
  check_text(pt_tokenizer_add(raw, dumped.data(), dumped.size()), where);
  for (const auto& token : added) {
    std::string text = token["content"];
    if (!token.contains("id") || id_of(raw, text) == token["id"]) continue;
    throw std::invalid_argument(
        where + ": token " + token["content"].dump() + " has id " +
        std::to_string(id_of(raw, text)) + ", but " + token["id"].dump() +
        " in the configuration beside it");
  }
  return handle;
}

std::vector<std::string> special_literals(const pt_tokenizer* tokenizer) {
  std::vector<std::string> literals;
  for (const auto& token : added_tokens(tokenizer)) {
    if (token["special"] && token["content"] != "")
      literals.push_back(token["content"]);
  }
  return literals;
}

// `size` without the added tokens at its end.
int base_size(const pt_tokenizer* tokenizer, int size) {
  std::set<int> added;
  for (const auto& token : added_tokens(tokenizer))
    added.insert(token["id"].get<int>());
  while (added.contains(size - 1)) --size;
  return size;
}

std::vector<uint32_t> unsigned_ids(std::span<const int> ids) {
  for (int id : ids) {
    if (id >= 0) continue;
    throw std::invalid_argument(
        "[tokenizer] decode: expected ids from 0, got " + std::to_string(id));
  }
  return {ids.begin(), ids.end()};
}

}  // namespace

Tokenizer::Tokenizer(const std::string& model_dir, std::optional<int> num_embeddings)
    : impl_(std::make_unique<Impl>()) {
  auto files = read_tokenizer_files(model_dir);
  impl_->dir = model_dir;
  impl_->handle = open(files, model_dir);
  auto handle = impl_->handle.get();
  auto named = named_tokens(files.config, model_dir);
  if (named.count("eos_token")) impl_->eos_id = id_of(handle, named["eos_token"]);
  if (files.chat_template) {
    impl_->chat_template.emplace(
        files.chat_template_source,
        *files.chat_template,
        named,
        special_literals(handle));
  }
  int64_t size = 0;
  check_text(pt_vocab_size(handle, &size), "[tokenizer] " + files.source);
  impl_->vocab_size = static_cast<int>(size);
  impl_->base_vocab_size = base_size(handle, impl_->vocab_size);
  if (num_embeddings) impl_->num_embeddings = *num_embeddings;
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<int> Tokenizer::encode(std::string_view text) const {
  return impl_->ids_of(text, {});
}

std::vector<int> Tokenizer::encode_plain(std::string_view text) const {
  return impl_->ids_of(text, {{0, text.size()}});
}

std::string Tokenizer::decode(std::span<const int> ids, bool skip_special) const {
  auto numbers = unsigned_ids(ids);
  return text_of("[tokenizer] decode", [&](char** text, size_t* len) {
    return pt_decode(
        impl_->handle.get(), numbers.data(), numbers.size(), skip_special, text, len);
  });
}

std::string Tokenizer::chat_text(
    std::span<const Message> messages, bool add_generation_prompt) const {
  return impl_->chat().text(messages, add_generation_prompt);
}

std::vector<int> Tokenizer::chat_ids(
    std::span<const Message> messages, bool add_generation_prompt) const {
  auto chat = impl_->chat().render(messages, add_generation_prompt);
  return impl_->ids_of(chat.text, chat.plain);
}

int Tokenizer::vocab_size() const {
  return impl_->vocab_size;
}
int Tokenizer::base_vocab_size() const {
  return impl_->base_vocab_size;
}
int Tokenizer::token_id(std::string_view token) const {
  return id_of(impl_->handle.get(), token);
}
int Tokenizer::eos_id() const {
  return impl_->eos_id;
}

}  // namespace pupil
