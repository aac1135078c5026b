// Which files a model directory is made of.

#pragma once

#include <string>
#include <vector>

namespace pupil {

/// What a conversion copies beside config.json, where it is there.
inline constexpr const char* kTextFiles[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.json",
    "chat_template.jinja",
    "generation_config.json"};

/// Paths of the safetensors files of the model in `dir`: model.safetensors; else the
/// shards that model.safetensors.index.json names in its weight_map; else every
/// model*.safetensors. Sorted, no file twice. An index may name plain files only, and
/// every file must lie inside `dir` after symbolic links are followed (a Hugging Face
/// cache, where they lead to ../../blobs, is allowed).
/// Throws std::invalid_argument "[model] ..." naming the directory or file at fault.
std::vector<std::string> model_shards(const std::string& dir);

}  // namespace pupil
