#include "models/decoder.h"

namespace pupil {

namespace {

mx::array float_array(const std::vector<float>& values) {
  return mx::array(values.data(), {static_cast<int>(values.size())}, mx::float32);
}

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

DecoderBody::DecoderBody(Checkpoint& checkpoint, const DecoderConfig& config)
    : embed_tokens(
          checkpoint, "model.embed_tokens", config.vocab_size, config.hidden_size),
      norm(
          checkpoint,
          "model.norm",
          config.hidden_size,
          config.norm_eps,
          config.norms_add_one) {
  for (int i = 0; i < config.num_layers; ++i) {
    layers.emplace_back(checkpoint, "model.layers." + std::to_string(i), config, i);
  }
}

Decoder::Decoder(Checkpoint checkpoint, const DecoderConfig& config, mx::Dtype dtype)
    : config(config),
      dtype(dtype),
      rope_periods(float_array(config.rope_periods)),
      local_rope_periods(float_array(config.local_rope_periods)),
      model(checkpoint, config) {
  if (!config.tied_head) {
    lm_head.emplace(
        checkpoint, "lm_head", config.vocab_size, config.hidden_size, false);
  }
  checkpoint.expect_empty();
}

mx::array Decoder::embed(const mx::array& tokens) const {
  auto x = model.embed_tokens.rows(tokens, dtype);
  if (config.embedding_scale == 1) return x;
  // As precise as the table, which it was trained with.
  const auto& table = model.embed_tokens;
  auto precision = table.scales ? table.scales->dtype() : table.weight.dtype();
  auto scale = mx::astype(mx::array(config.embedding_scale, precision), dtype);
  return x * scale;
}

RopeTable Decoder::turns(const mx::array& positions, LayerRope rope) const {
  bool is_local = rope == LayerRope::local;
  auto table = rope_table(positions, is_local ? local_rope_periods : rope_periods);
  if (is_local || config.rope_scale == 1) return table;
  return {
      table.cos * mx::array(config.rope_scale),
      table.sin * mx::array(config.rope_scale)};
}

mx::array Decoder::operator()(
    const mx::array& tokens, const mx::array& positions, const AttendFn& attend) const {
  auto table = turns(positions, LayerRope::global);
  auto local = turns(positions, LayerRope::local);
  auto x = embed(tokens);  // [N, D]
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const auto& layer = model.layers[i];
    int index = static_cast<int>(i);
    const auto& turned = config.layer(index).rope == LayerRope::local ? local : table;
    x = recompute_blocks
            ? recomputed(layer, x, turned, attend, index, !trained_weights.empty())
            : layer(x, turned, attend, index);
  }
  return model.norm(x);
}

// The residual twice; what norms take and give, where that is not the residual; q, what
// attention gives, k and v; queries and keys before their norms; gate, up and their
// product.
int64_t Decoder::kept_bytes_per_token() const {
  const auto& experts = config.experts;
  int64_t norms = config.norms == NormPlace::both ? 4 : 2;
  int64_t heads = config.num_heads + config.num_kv_heads;
  int64_t head_values = config.query_norm == QueryNorm::none ? 2 : 3;
  int64_t elements = 0;
  for (int i = 0; i < config.num_layers; ++i) {
    elements +=
        (2 + norms) * config.hidden_size + head_values * heads * config.head_dim;
    elements += config.layer(i).is_sparse
                    ? int64_t{experts.per_token} *
                              (3 * experts.intermediate_size + config.hidden_size) +
                          2 * experts.count
                    : int64_t{3} * config.intermediate_size;
  }
  return elements * static_cast<int64_t>(mx::size_of(dtype));
}

mx::array Decoder::head(const mx::array& hidden) const {
  auto logits = lm_head ? (*lm_head)(hidden) : model.embed_tokens(hidden);
  auto number = [&](float value) { return mx::array(value, logits.dtype()); };
  if (config.logit_scale != 1) logits = logits * number(config.logit_scale);
  if (config.logit_cap == 0) return logits;
  return mx::tanh(logits / number(config.logit_cap)) * number(config.logit_cap);
}

}  // namespace pupil
