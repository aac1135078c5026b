// A small random decoder, in memory, for tests that need a model and no files.

#pragma once

#include "models/decoder.h"

namespace pupil::testing {

/// Sizes that keep every odd case: grouped heads, a head width that is no model width.
inline DecoderConfig tiny_config() {
  DecoderConfig config;
  config.num_layers = 2;
  config.hidden_size = 32;
  config.intermediate_size = 64;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 8;
  config.vocab_size = 48;
  config.max_positions = 256;
  config.tied_head = true;
  config.rope_periods = {1.0f, 10.0f, 100.0f, 1000.0f};
  return config;
}

namespace detail {

struct RandomTensors {
  uint64_t seed;
  Checkpoint::Tensors tensors;

  void add(const std::string& name, const mx::Shape& shape, float spread) {
    auto key = mx::random::key(seed + tensors.size());
    auto values = mx::random::normal(shape, mx::float32, 0.0f, spread, key);
    tensors.emplace(name, shape.size() == 1 ? 1.0f + values : values);
  }
};

}  // namespace detail

/// The tensors of a decoder of this shape, named as on disk.
inline Checkpoint::Tensors tiny_tensors(const DecoderConfig& c, uint64_t seed) {
  detail::RandomTensors random{seed, {}};
  int q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  random.add("model.embed_tokens.weight", {c.vocab_size, c.hidden_size}, 0.3f);
  random.add("model.norm.weight", {c.hidden_size}, 0.1f);
  if (!c.tied_head) random.add("lm_head.weight", {c.vocab_size, c.hidden_size}, 0.3f);
  for (int i = 0; i < c.num_layers; ++i) {
    auto scope = "model.layers." + std::to_string(i) + ".";
    random.add(scope + "input_layernorm.weight", {c.hidden_size}, 0.1f);
    random.add(scope + "post_attention_layernorm.weight", {c.hidden_size}, 0.1f);
    random.add(scope + "self_attn.q_proj.weight", {q, c.hidden_size}, 0.3f);
    random.add(scope + "self_attn.k_proj.weight", {kv, c.hidden_size}, 0.3f);
    random.add(scope + "self_attn.v_proj.weight", {kv, c.hidden_size}, 0.3f);
    random.add(scope + "self_attn.o_proj.weight", {c.hidden_size, q}, 0.3f);
    random.add(
        scope + "mlp.gate_proj.weight", {c.intermediate_size, c.hidden_size}, 0.3f);
    random.add(
        scope + "mlp.up_proj.weight", {c.intermediate_size, c.hidden_size}, 0.3f);
    random.add(
        scope + "mlp.down_proj.weight", {c.hidden_size, c.intermediate_size}, 0.2f);
  }
  return random.tensors;
}

/// A float32 decoder with random weights; the same seed gives the same model.
inline Decoder tiny_decoder(uint64_t seed = 0, DecoderConfig config = tiny_config()) {
  return Decoder(
      Checkpoint(tiny_tensors(config, seed), {}, "tiny"), config, mx::float32);
}

namespace detail {

/// Every matrix as 4-bit codes in groups of 32, scales and biases of the matrix' type.
inline Checkpoint::Tensors packed(const Checkpoint::Tensors& tensors) {
  Checkpoint::Tensors all;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.ndim() != 2) {
      all.emplace(name, tensor);
      continue;
    }
    auto scope = name.substr(0, name.rfind('.'));
    auto parts = mx::quantize(tensor, 32, 4);
    all.emplace(scope + ".weight", parts.at(0));
    all.emplace(scope + ".scales", parts.at(1));
    all.emplace(scope + ".biases", parts.at(2));
  }
  return all;
}

}  // namespace detail

/// The same of another type, dense or with all matrices packed into 4 bits.
inline Decoder tiny_decoder_of(mx::Dtype dtype, bool is_packed = false) {
  auto tensors = tiny_tensors(tiny_config(), 0);
  for (auto& [name, tensor] : tensors) tensor = mx::astype(tensor, dtype);
  std::map<std::string, Quantization> packing;
  if (is_packed) packing[""] = {32, 4};
  return Decoder(
      Checkpoint(is_packed ? detail::packed(tensors) : tensors, packing, "tiny"),
      tiny_config(),
      dtype);
}

}  // namespace pupil::testing
