// Adapters on a decoder: which linears get one, with which shape, in mlx-lm's terms.

#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "models/decoder.h"
#include "models/lora_config.h"

namespace pupil {

/// The linears of a block, by their path in it.
inline constexpr std::array kLoraKeys = {
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj"};

/// The keys that LoraConfig::keys lists, all_linear written out, unchecked.
std::vector<std::string> listed_keys(const std::string& keys);

/// Calls `f(path, linear)` for every linear of the decoder's blocks, in order;
/// path as in "model.layers.3.self_attn.q_proj".
void for_each_linear(
    Decoder& model, const std::function<void(const std::string&, Linear&)>& f);

/// Puts a fresh adapter (b = 0, so that nothing changes yet) on the linears that
/// `config` selects. The same seed gives the same adapter.
/// Throws std::invalid_argument if a key names no module or nothing is selected.
void attach_lora(Decoder& model, const LoraConfig& config, uint64_t seed);

/// The same model without its adapter: the reference policy. No tensor is copied.
Decoder without_lora(Decoder model);

}  // namespace pupil
