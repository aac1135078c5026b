// Adapters on a decoder: which linears get one, with which shape, in mlx-lm's terms.

#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/decoder.h"
#include "models/lora_config.h"

namespace pupil {

/// The linears of a block, by their path in it. A family has some of them: the fused
/// ones in place of those they join, the router where there are experts.
inline constexpr std::array kLoraKeys = {
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.qkv_proj",
    "self_attn.o_proj",
    "mlp.gate",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.gate_up_proj",
    "mlp.down_proj"};

/// The linears of all experts at once, which `experts` among the keys stands for.
inline constexpr std::array kExpertKeys = {
    "mlp.switch_mlp.gate_proj", "mlp.switch_mlp.up_proj", "mlp.switch_mlp.down_proj"};

/// What else of a block full fine-tuning may train.
inline constexpr std::array kNormKeys = {
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
    "self_attn.q_norm",
    "self_attn.k_norm"};

/// The keys that LoraConfig::keys lists, with all_linear, experts and all written out
/// as the modules that this model's blocks have; each once.
std::vector<std::string> listed_keys(const std::string& keys, const Decoder& model);

/// Calls `f(path, linear)` for every linear of the decoder's blocks, in order;
/// path as in "model.layers.3.self_attn.q_proj".
void for_each_linear(
    Decoder& model, const std::function<void(const std::string&, Linear&)>& f);

/// Calls `f(path, adapter)` for every place in the blocks that an adapter can be in,
/// the linears of experts included.
void for_each_adapter(
    Decoder& model,
    const std::function<void(const std::string&, std::optional<Lora>&)>& f);

/// What (x A) B is multiplied by: PEFT's scaling.
float scale_of(const LoraConfig& config);

/// Makes ready what `config` says is trained: a fresh adapter (b = 0, so that nothing
/// changes yet) on the linears that it selects, or for "full" the weights themselves,
/// made float32. The same seed gives the same adapter.
/// Throws std::invalid_argument if a key names no module or nothing is selected, if a
/// weight that is to be trained is packed, and for DoRA of experts.
void attach_lora(Decoder& model, const LoraConfig& config, uint64_t seed);

/// The same without computing the fresh arrays: for whoever puts others in their place.
void lay_out_lora(Decoder& model, const LoraConfig& config, uint64_t seed);

/// The same model without its adapter: the reference policy. No tensor is copied.
Decoder without_lora(Decoder model);

/// The adapter's arrays, or the weights that are trained, in declaration order.
std::vector<mx::array> trained_arrays(const Decoder& model);
std::vector<std::string> trained_paths(const Decoder& model);

/// Sets them. While they are being differentiated nothing else changes; otherwise
/// `update_norms` is to follow, which makes DoRA's lengths those of A and B as they
/// are.
void assign_trained(Decoder& model, const std::vector<mx::array>& arrays);
void update_norms(Decoder& model);

/// Gives every adapter with dropout a key of its own, made from `key`.
void set_dropout_keys(Decoder& model, std::initializer_list<uint64_t> key);

}  // namespace pupil
