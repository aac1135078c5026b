// Adapter directories, without a model.
//
// mlx-lm's layout: adapters.safetensors with names such as
// model.layers.3.self_attn.q_proj.lora_a [in, rank] and .lora_b [rank, out], of DoRA
// also .m [out], and adapter_config.json. Of full fine-tuning the file has the trained
// weights themselves under the model's names. PEFT's layout: models/peft_adapter.h.

#pragma once

#include <string>

#include "models/lora_config.h"
#include "nn/parameters.h"

namespace pupil {

enum class AdapterLayout { mlx_lm, peft };

struct AdapterFiles {
  LoraConfig config;
  std::string base_model;       // the model that it was trained on, as it says itself
  std::string path;             // the file of the tensors
  Checkpoint::Tensors tensors;  // by mlx-lm's names, of a text model
  AdapterLayout layout;
};

/// What adapter_config.json says of the adapter, whoever wrote it. Throws
/// std::invalid_argument naming the file.
LoraConfig read_adapter_config(const std::string& adapter_dir);

/// The same with its tensors.
AdapterFiles read_adapter_files(const std::string& adapter_dir);

/// Writes `files` as a new directory in `layout`; it appears complete or not at all.
/// Throws std::invalid_argument for what the layout cannot say: weights of full
/// fine-tuning and adapters of experts in PEFT's, and if `adapter_dir` is not empty.
void write_adapter_files(
    const AdapterFiles& files, const std::string& adapter_dir, AdapterLayout layout);

}  // namespace pupil
