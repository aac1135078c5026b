// Adapter directories in PEFT's layout: adapter_model.safetensors with names such as
// base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight [rank, in],
// ...lora_B.weight [out, rank], of DoRA also ...lora_magnitude_vector [out], and
// adapter_config.json.

#pragma once

#include <set>

#include "models/json_fields.h"
#include "models/lora_config.h"
#include "nn/parameters.h"

namespace pupil {

/// True for an adapter_config.json that PEFT wrote.
bool is_peft_config(const JsonFields& fields);

/// The same in mlx-lm's terms: scale is alpha / r, or alpha / sqrt(r) with use_rslora;
/// layers_to_transform may name the last layers. Throws std::invalid_argument for what
/// LoRA or DoRA on a block's linears is not.
LoraConfig peft_lora_config(const JsonFields& fields);

/// The file's tensors by mlx-lm's names, matrices transposed; what is no part of an
/// adapter keeps its name. Throws std::invalid_argument naming the file.
Checkpoint::Tensors read_peft_tensors(const std::string& path);

/// The way back: tensors of mlx-lm's names by PEFT's, matrices transposed. Throws
/// std::invalid_argument for adapters of experts.
Checkpoint::Tensors peft_tensors(const Checkpoint::Tensors& tensors);

/// What PEFT's adapter_config.json says of an adapter on these modules of these layers.
nlohmann::ordered_json peft_config_json(
    const LoraConfig& config,
    const std::string& base_model,
    const std::set<std::string>& modules,
    const std::set<int>& layers);

}  // namespace pupil
