// Adapter directories in mlx-lm's layout: adapters.safetensors with names such as
// model.layers.3.self_attn.q_proj.lora_a [in, rank], of DoRA also .m [out], and
// adapter_config.json. Of full fine-tuning the file has the trained weights themselves
// under the model's names. PEFT's layout (models/peft_adapter.h) is read too.

#pragma once

#include <string>

#include "models/lora.h"

namespace pupil {

/// What adapter_config.json says of the adapter, whoever wrote it. Throws
/// std::invalid_argument naming the file.
LoraConfig read_adapter_config(const std::string& adapter_dir);

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
