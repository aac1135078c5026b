#include "models/decoder.h"

namespace pupil {

namespace {

// The layer on x [N, D], with gradients to x and to its adapter alone, or to all of it.
mx::array recomputed(
    const DecoderLayer& layer,
    const mx::array& x,
    const RopeTable& table,
    const AttendFn& attend,
    int index,
    bool whole) {
  auto is_input = [whole](std::string_view path) { return whole || is_lora(path); };
  auto run = [=](const std::vector<mx::array>& in) -> std::vector<mx::array> {
    DecoderLayer copy = layer;  // of handles
    assign_parameters(copy, {in.begin() + 1, in.end()}, is_input);
    return {copy(in[0], table, attend, index)};
  };
  auto inputs = select_parameters(layer, is_input);
  inputs.insert(inputs.begin(), x);
  return mx::checkpoint(run)(inputs)[0];
}

}  // namespace

Attention::Attention(
    Checkpoint& checkpoint, const std::string& scope, const DecoderConfig& c)
    : q_proj(
          checkpoint,
          scope + ".q_proj",
          c.num_heads * c.head_dim,
          c.hidden_size,
          c.attention_bias),
      k_proj(
          checkpoint,
          scope + ".k_proj",
          c.num_kv_heads * c.head_dim,
          c.hidden_size,
          c.attention_bias),
      v_proj(
          checkpoint,
          scope + ".v_proj",
          c.num_kv_heads * c.head_dim,
          c.hidden_size,
          c.attention_bias),
      o_proj(
          checkpoint,
          scope + ".o_proj",
          c.hidden_size,
          c.num_heads * c.head_dim,
          c.output_bias),
      head_dim(c.head_dim) {}

mx::array Attention::operator()(
    const mx::array& x,
    const RopeTable& table,
    const AttendFn& attend,
    int layer) const {
  auto heads = [&](const mx::array& y) {
    return mx::reshape(y, {y.shape(0), y.shape(1) / head_dim, head_dim});
  };
  auto projected = together(x, {&q_proj, &k_proj, &v_proj});
  auto q = rope(heads(projected[0]), table);  // [N, H, E]
  auto k = rope(heads(projected[1]), table);  // [N, K, E]
  auto out = attend(layer, q, k, heads(projected[2]));
  return o_proj(mx::reshape(out, {x.shape(0), q_proj.out}));
}

Mlp::Mlp(Checkpoint& checkpoint, const std::string& scope, const DecoderConfig& c)
    : gate_proj(
          checkpoint,
          scope + ".gate_proj",
          c.intermediate_size,
          c.hidden_size,
          c.mlp_bias),
      up_proj(
          checkpoint,
          scope + ".up_proj",
          c.intermediate_size,
          c.hidden_size,
          c.mlp_bias),
      down_proj(
          checkpoint,
          scope + ".down_proj",
          c.hidden_size,
          c.intermediate_size,
          c.mlp_bias) {}

mx::array Mlp::operator()(const mx::array& x) const {
  auto projected = together(x, {&gate_proj, &up_proj});
  return down_proj(swiglu(projected[0], projected[1]));
}

DecoderLayer::DecoderLayer(
    Checkpoint& checkpoint, const std::string& scope, const DecoderConfig& config)
    : input_layernorm(
          checkpoint, scope + ".input_layernorm", config.hidden_size, config.norm_eps),
      self_attn(checkpoint, scope + ".self_attn", config),
      post_attention_layernorm(
          checkpoint,
          scope + ".post_attention_layernorm",
          config.hidden_size,
          config.norm_eps),
      mlp(checkpoint, scope + ".mlp", config) {}

mx::array DecoderLayer::operator()(
    const mx::array& x,
    const RopeTable& table,
    const AttendFn& attend,
    int layer) const {
  auto h = x + self_attn(input_layernorm(x), table, attend, layer);
  return h + mlp(post_attention_layernorm(h));
}

DecoderBody::DecoderBody(Checkpoint& checkpoint, const DecoderConfig& config)
    : embed_tokens(
          checkpoint, "model.embed_tokens", config.vocab_size, config.hidden_size),
      norm(checkpoint, "model.norm", config.hidden_size, config.norm_eps) {
  for (int i = 0; i < config.num_layers; ++i) {
    layers.emplace_back(checkpoint, "model.layers." + std::to_string(i), config);
  }
}

Decoder::Decoder(Checkpoint checkpoint, const DecoderConfig& config, mx::Dtype dtype)
    : config(config),
      dtype(dtype),
      rope_periods(
          config.rope_periods.data(),
          {static_cast<int>(config.rope_periods.size())},
          mx::float32),
      model(checkpoint, config) {
  if (!config.tied_head) {
    lm_head.emplace(
        checkpoint, "lm_head", config.vocab_size, config.hidden_size, false);
  }
  checkpoint.expect_empty();
}

mx::array Decoder::operator()(
    const mx::array& tokens, const mx::array& positions, const AttendFn& attend) const {
  auto table = rope_table(positions, rope_periods);
  auto x = model.embed_tokens.rows(tokens, dtype);  // [N, D]
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const auto& layer = model.layers[i];
    int index = static_cast<int>(i);
    x = recompute_blocks
            ? recomputed(layer, x, table, attend, index, !trained_weights.empty())
            : layer(x, table, attend, index);
  }
  return model.norm(x);
}

// The residual twice and both norms' outputs; q, what attention gives, k and v; gate,
// up and their product.
int64_t Decoder::kept_bytes_per_token() const {
  int64_t heads = config.num_heads + config.num_kv_heads;
  int64_t elements = 4 * config.hidden_size + 2 * heads * config.head_dim +
                     3 * config.intermediate_size;
  return elements * config.num_layers * static_cast<int64_t>(mx::size_of(dtype));
}

mx::array Decoder::head(const mx::array& hidden) const {
  return lm_head ? (*lm_head)(hidden) : model.embed_tokens(hidden);
}

}  // namespace pupil
