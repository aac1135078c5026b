// The tiny random decoder of support/tiny_model.h as a model directory.

#pragma once

#include <filesystem>

#include "support/files.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace pupil::testing {

/// Its tokenizer knows lower-case letters, digits, blanks and ()_:,.= only.
inline void write_tiny_student(const std::filesystem::path& folder) {
  auto config = tiny_config();
  std::filesystem::create_directories(folder);
  mx::save_safetensors(
      (folder / "model").string(), tiny_tensors(config, 5), {{"format", "mlx"}});
  std::filesystem::copy(
      std::filesystem::path(PUPIL_SOURCE_DIR) / "tests/support/tiny_tokenizer", folder);
  write_text(folder / "config.json", R"({
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 32,
    "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8, "vocab_size": 48, "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
    "eos_token_id": 1})");
}

}  // namespace pupil::testing
