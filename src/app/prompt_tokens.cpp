#include "app/prompt_tokens.h"

#include <stdexcept>

namespace pupil {

namespace {

void expect_known(const Model& model, const PromptLine& line) {
  for (int id : line.input_ids) {
    if (id < model.decoder.config.vocab_size) continue;
    throw std::invalid_argument(
        "token id " + std::to_string(id) + " is outside the vocabulary of " +
        std::to_string(model.decoder.config.vocab_size));
  }
}

std::vector<int> ids_of(const Model& model, const PromptLine& line, bool raw) {
  if (!line.input_ids.empty()) {
    expect_known(model, line);
    return line.input_ids;
  }
  if (!line.text) return model.tokenizer.chat_ids(line.messages, true);
  if (raw) return model.tokenizer.encode(*line.text);
  Message user{"user", *line.text};
  return model.tokenizer.chat_ids({&user, 1}, true);
}

}  // namespace

Prompt prompt_tokens(
    const Model& model, const PromptLine& line, bool raw, uint64_t key) {
  try {
    return {ids_of(model, line, raw), key};
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument("[prompts] " + line.id + ": " + error.what());
  }
}

std::string prompt_text(const Model& model, const PromptLine& line) {
  if (line.text) return *line.text;
  if (line.messages.empty()) return model.tokenizer.decode(line.input_ids);
  return model.tokenizer.chat_text(line.messages, true);
}

}  // namespace pupil
