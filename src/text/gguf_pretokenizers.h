// How text is cut before byte-level BPE, under the names that GGUF has for it.

#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

namespace pupil {

inline constexpr const char* kQwenSplit =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr const char* kLlama3Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// A value of tokenizer.ggml.pre.
struct GgufPretokenizer {
  std::string_view name;
  bool digits;          // each digit alone, then GPT-2's split
  const char* split;    // a regular expression in place of GPT-2's; nullptr: GPT-2's
  bool nfc;             // normalises the text first
  bool ignores_merges;  // a word in the vocabulary is one token
};

inline constexpr std::array kGgufPretokenizers = {
    GgufPretokenizer{"smollm", true, nullptr, false, false},
    GgufPretokenizer{"qwen2", false, kQwenSplit, true, false},
    GgufPretokenizer{"llama-bpe", false, kLlama3Split, false, true},
    GgufPretokenizer{"gpt-2", false, nullptr, false, false},
    GgufPretokenizer{"default", false, nullptr, false, false},
};

/// Hugging Face's "pre_tokenizer" of it.
nlohmann::json gguf_pre_tokenizer(const GgufPretokenizer& row);

/// Hugging Face's ByteLevel, a pre-tokenizer or a decoder.
nlohmann::json byte_level_json(
    bool add_prefix_space, bool trim_offsets, bool use_regex);

}  // namespace pupil
