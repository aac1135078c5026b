// The vocabulary of a model directory as GGUF's metadata: the way back from
// text/gguf_tokenizer.h.

#pragma once

#include <string>
#include <vector>

#include "formats/gguf_writer.h"

namespace pupil {

/// tokenizer.ggml.* and tokenizer.chat_template of the directory's tokenizer: tokens
/// (ids that it does not use up to `vocab_size` are filled with unused ones), their
/// types, merges, the name of the pre-tokenizer, the ids of BOS, PAD and UNK, and of
/// `eos_ids` the tokenizer's EOS and one more as EOT; llama.cpp knows others by their
/// text. Byte-level BPE with a pre-tokenizer of text/gguf_pretokenizers.h only. Throws
/// std::invalid_argument "[gguf] model_dir: ..." for another one.
GgufItems gguf_vocabulary(
    const std::string& model_dir, int vocab_size, const std::vector<int>& eos_ids);

}  // namespace pupil
