// What the files of a model directory say about its tokenizer, as Hugging Face reads
// them.

#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace pupil {

struct TokenizerFiles {
  std::string source;     // the file that `tokenizer` came from, for messages
  std::string tokenizer;  // the text of a tokenizer.json
  nlohmann::json config;  // tokenizer_config.json; where it has no
                          // added_tokens_decoder, special_tokens_map.json over it and
                          // added_tokens.json as its `added_tokens`
  std::optional<std::string> chat_template;  // Jinja source
  std::string chat_template_source;          // the file it came from
};

/// Reads tokenizer.json, or vocab.json + merges.txt of a Qwen2 tokenizer; the files of
/// `config`; and chat_template.jinja, else the config's `chat_template`. Throws
/// std::invalid_argument naming the file at fault.
TokenizerFiles read_tokenizer_files(const std::string& model_dir);

}  // namespace pupil
