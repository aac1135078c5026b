// Hugging Face tokenizer files from the vocabulary that a GGUF file carries.

#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "formats/gguf.h"

namespace pupil {

/// Ids that a GGUF file gives its special tokens.
struct GgufSpecialIds {
  std::optional<int> bos, pad, unk;
  std::vector<int> eos;  // end of text, then end of turn if it is another token
};

/// Throws std::invalid_argument "[gguf] path: ..." if an id is not in the vocabulary.
GgufSpecialIds gguf_special_ids(const GgufFile& file);

/// Text by file name: tokenizer.json, tokenizer_config.json, special_tokens_map.json,
/// and chat_template.jinja where the file has a template. Byte-level BPE only, with the
/// pre-tokenizer that `tokenizer.ggml.pre` names: smollm, qwen2, llama-bpe, gpt-2 or
/// default. Throws std::invalid_argument "[gguf] path: ..." for another one, and for a
/// vocabulary that contradicts itself.
std::map<std::string, std::string> gguf_tokenizer_files(const GgufFile& file);

}  // namespace pupil
