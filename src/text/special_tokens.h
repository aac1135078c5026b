// Which tokens a tokenizer's configuration adds to its vocabulary or calls special
// (transformers: tokenization_utils_base.py, from_pretrained).

#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace pupil {

/// The named tokens of `config` (bos_token, eos_token, ...) that are set, as text: the
/// variables that chat templates see.
std::map<std::string, std::string> named_tokens(
    const nlohmann::json& config, const std::string& where);

/// The tokens to add to a tokenizer that has `own` ones (objects with id, content and
/// flags): those of `added_tokens_decoder` and `added_tokens` by id, then those that
/// `config` calls special and the tokenizer does not. "id" is kept where a file states
/// it. Throws std::invalid_argument "[tokenizer] `where`: key: what".
nlohmann::json tokens_to_add(
    const nlohmann::json& config, const nlohmann::json& own, const std::string& where);

}  // namespace pupil
