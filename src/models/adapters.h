// A model's adapter: taken from a directory, and written in mlx-lm's layout.

#pragma once

#include <string>

#include "models/lora.h"

namespace pupil {

/// Puts the adapter in `adapter_dir` on `model`, replacing one that is there. Weights
/// of full fine-tuning replace the model's, and are what is trained from now on. Throws
/// std::invalid_argument if a tensor is missing, misshapen or left over.
void load_adapters(Decoder& model, const std::string& adapter_dir);

/// Writes the trained arrays of `model` to `path` (a safetensors file).
void save_adapter_tensors(const Decoder& model, const std::string& path);

/// The text of adapter_config.json for `config` on `model`, read from `model_dir`.
std::string adapter_config_text(
    const LoraConfig& config, const Decoder& model, const std::string& model_dir);

}  // namespace pupil
