// Adapter directories in mlx-lm's layout: adapters.safetensors with names such as
// model.layers.3.self_attn.q_proj.lora_a [in, rank], and adapter_config.json. PEFT's
// layout (models/peft_adapter.h) is read too.

#pragma once

#include <string>

#include "models/lora.h"

namespace pupil {

/// What adapter_config.json says of the adapter, whoever wrote it. Throws
/// std::invalid_argument naming the file.
LoraConfig read_adapter_config(const std::string& adapter_dir);

/// Puts the adapter in `adapter_dir` on `model`, replacing one that is there.
/// Throws std::invalid_argument if a tensor is missing, misshapen or left over.
void load_adapters(Decoder& model, const std::string& adapter_dir);

/// Writes the adapter arrays of `model` to `path` (a safetensors file).
void save_adapter_tensors(const Decoder& model, const std::string& path);

/// The text of adapter_config.json for `config` on a model read from `model_dir`.
std::string adapter_config_text(const LoraConfig& config, const std::string& model_dir);

}  // namespace pupil
