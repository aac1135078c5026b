// Hugging Face configuration files from a GGUF file's metadata.

#pragma once

#include <nlohmann/json.hpp>

#include "formats/gguf.h"

namespace pupil {

/// config.json of a file whose general.architecture is llama (Mistral's too) or qwen2.
/// Throws std::invalid_argument "[gguf] path: ..." for another architecture, a missing
/// key, and rotary scaling that Hugging Face has no name for.
nlohmann::json gguf_model_config(const GgufFile& file);

/// generation_config.json: the ids of BOS, PAD and every EOS.
nlohmann::json gguf_generation_config(const GgufFile& file);

/// True if the rows of q and k are in the order of interleaved rotary embeddings.
bool gguf_rows_are_permuted(const GgufFile& file);

}  // namespace pupil
