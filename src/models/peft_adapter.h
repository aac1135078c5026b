// Adapter directories in PEFT's layout: adapter_model.safetensors with names such as
// base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight [rank, in] and
// ...lora_B.weight [out, rank], and adapter_config.json.

#pragma once

#include "models/json_fields.h"
#include "models/lora_config.h"
#include "nn/parameters.h"

namespace pupil {

/// True for an adapter_config.json that PEFT wrote.
bool is_peft_config(const JsonFields& fields);

/// The same in mlx-lm's terms: scale is alpha / r, or alpha / sqrt(r) with use_rslora.
/// Throws std::invalid_argument for what plain LoRA on a block's linears is not.
LoraConfig peft_lora_config(const JsonFields& fields);

/// The file's tensors by mlx-lm's names, transposed; what is no lora_A or lora_B keeps
/// its name. Throws std::invalid_argument naming the file.
Checkpoint::Tensors read_peft_tensors(const std::string& path);

}  // namespace pupil
