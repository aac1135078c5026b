// A model's shape as GGUF's metadata: the way back from models/gguf_config.h.

#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "formats/gguf_writer.h"
#include "models/model_config.h"

namespace pupil {

/// general.* and the keys of the architecture, of a config.json of `llama` or `qwen2`.
/// Throws std::invalid_argument "[gguf] source: ..." for another family, windows, and
/// rotary embeddings that llama.cpp has no key for: all but default, linear and llama3.
GgufItems gguf_model_items(
    const nlohmann::json& config,
    const DecoderConfig& decoder,
    const std::string& source);

/// The tensor rope_freqs.weight [head_dim / 2] that stands for the scaling llama3: by
/// how much periods are longer than without it. None for other scalings.
std::optional<std::vector<float>> gguf_rope_factors(
    const nlohmann::json& config, const DecoderConfig& decoder);

}  // namespace pupil
