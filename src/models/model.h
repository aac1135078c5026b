// A model directory, loaded: decoder, tokenizer and the ids that end a completion.

#pragma once

#include <string>
#include <vector>

#include "models/decoder.h"
#include "text/tokenizer.h"

namespace pupil {

struct Model {
  Decoder decoder;
  Tokenizer tokenizer;
  std::vector<int> eos_ids;
  std::string path;
};

/// Loads the tensors of `model_dir` into a decoder. On a CPU activations are float32;
/// on a GPU they have the type of the checkpoint's floats.
/// Throws std::invalid_argument naming the file and what is wrong with it.
Decoder load_decoder(const std::string& model_dir);

/// The same with its tokenizer and EOS ids; checks that they agree with the vocabulary.
/// The tokenizer may have added tokens beyond it, which it then refuses in text.
Model load_model(const std::string& model_dir);

}  // namespace pupil
