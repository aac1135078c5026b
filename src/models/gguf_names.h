// What GGUF and Hugging Face call a tensor of Llama's block.

#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pupil {

/// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"; nothing for a
/// name that has no place in these models.
std::optional<std::string> huggingface_name(std::string_view gguf);

/// The way back.
std::optional<std::string> gguf_name(std::string_view huggingface);

}  // namespace pupil
