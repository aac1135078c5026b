#pragma once

#include "data/prompt_file.h"
#include "models/model.h"

namespace pupil {

/// A prompt as the model reads it: text is a user message in the chat template, unless
/// `raw`. `key` names its random stream.
/// Throws std::invalid_argument, naming the line, for an id outside the vocabulary or
/// text with a token that has no embedding.
Prompt prompt_tokens(
    const Model& model, const PromptLine& line, bool raw, uint64_t key);

/// The same as text, to be shown.
std::string prompt_text(const Model& model, const PromptLine& line);

}  // namespace pupil
