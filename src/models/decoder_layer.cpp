#include "models/decoder_layer.h"

namespace pupil {

namespace {

using MaybeNorm = std::optional<RmsNorm>;

mx::array normed(const MaybeNorm& norm, const mx::array& x) {
  return norm ? (*norm)(x) : x;
}

mx::array scaled(const mx::array& x, float scale) {
  return scale == 1 ? x : x * mx::array(scale, x.dtype());
}

MaybeNorm maybe_norm(
    bool is_there,
    Checkpoint& checkpoint,
    const std::string& scope,
    int width,
    const DecoderConfig& c) {
  if (!is_there) return std::nullopt;
  return RmsNorm(checkpoint, scope, width, c.norm_eps, c.norms_add_one);
}

MaybeNorm head_norm(
    Checkpoint& checkpoint,
    const std::string& scope,
    int heads,
    const DecoderConfig& c) {
  int width = c.query_norm == QueryNorm::head ? c.head_dim : heads * c.head_dim;
  return maybe_norm(c.query_norm != QueryNorm::none, checkpoint, scope, width, c);
}

std::optional<Linear> maybe_linear(
    bool is_there,
    Checkpoint& checkpoint,
    const std::string& scope,
    int out,
    int in,
    bool has_bias) {
  if (!is_there) return std::nullopt;
  return Linear(checkpoint, scope, out, in, has_bias);
}

// x [N, heads * E] -> [N, heads, E], normed over the norm's width.
mx::array split_heads(const mx::array& x, const MaybeNorm& norm, int head_dim) {
  int tokens = x.shape(0), width = x.shape(1);
  auto wide = norm ? norm->weight.shape(0) : head_dim;
  auto y = normed(norm, mx::reshape(x, {tokens, width / wide, wide}));
  return mx::reshape(y, {tokens, width / head_dim, head_dim});
}

}  // namespace

Attention::Attention(
    Checkpoint& checkpoint, const std::string& scope, const DecoderConfig& c, int layer)
    : o_proj(
          checkpoint,
          scope + ".o_proj",
          c.hidden_size,
          c.num_heads * c.head_dim,
          c.output_bias),
      q_norm(head_norm(checkpoint, scope + ".q_norm", c.num_heads, c)),
      k_norm(head_norm(checkpoint, scope + ".k_norm", c.num_kv_heads, c)),
      heads(c.num_heads),
      kv_heads(c.num_kv_heads),
      head_dim(c.head_dim),
      is_turned(c.layer(layer).rope != LayerRope::none) {
  auto linear = [&](const char* name, bool is_there, int count) {
    int in = c.hidden_size, out = count * head_dim;
    return maybe_linear(is_there, checkpoint, scope + name, out, in, c.attention_bias);
  };
  q_proj = linear(".q_proj", !c.fused_projections, heads);
  k_proj = linear(".k_proj", !c.fused_projections, kv_heads);
  v_proj = linear(".v_proj", !c.fused_projections, kv_heads);
  qkv_proj = linear(".qkv_proj", c.fused_projections, heads + 2 * kv_heads);
}

std::vector<mx::array> Attention::projected(const mx::array& x) const {
  if (!qkv_proj) return together(x, {&*q_proj, &*k_proj, &*v_proj});
  int keys = heads * head_dim, values = keys + kv_heads * head_dim;
  return mx::split((*qkv_proj)(x), mx::Shape{keys, values}, 1);
}

mx::array Attention::operator()(
    const mx::array& x,
    const RopeTable& table,
    const AttendFn& attend,
    int layer) const {
  auto turned = [&](const mx::array& y) { return is_turned ? rope(y, table) : y; };
  auto qkv = projected(x);
  auto q = turned(split_heads(qkv[0], q_norm, head_dim));  // [N, H, E]
  auto k = turned(split_heads(qkv[1], k_norm, head_dim));  // [N, K, E]
  auto out = attend(layer, q, k, split_heads(qkv[2], {}, head_dim));
  return o_proj(mx::reshape(out, {x.shape(0), heads * head_dim}));
}

Mlp::Mlp(Checkpoint& checkpoint, const std::string& scope, const DecoderConfig& c)
    : down_proj(
          checkpoint,
          scope + ".down_proj",
          c.hidden_size,
          c.intermediate_size,
          c.mlp_bias),
      uses_gelu(c.uses_gelu) {
  auto linear = [&](const char* name, bool is_there, int out) {
    int in = c.hidden_size;
    return maybe_linear(is_there, checkpoint, scope + name, out, in, c.mlp_bias);
  };
  gate_proj = linear(".gate_proj", !c.fused_projections, c.intermediate_size);
  up_proj = linear(".up_proj", !c.fused_projections, c.intermediate_size);
  gate_up_proj = linear(".gate_up_proj", c.fused_projections, 2 * c.intermediate_size);
}

mx::array Mlp::operator()(const mx::array& x) const {
  auto projected = gate_up_proj ? mx::split((*gate_up_proj)(x), 2, -1)
                                : together(x, {&*gate_proj, &*up_proj});
  auto activation = uses_gelu ? geglu : swiglu;
  return down_proj(activation(projected[0], projected[1]));
}

DecoderLayer::DecoderLayer(
    Checkpoint& checkpoint,
    const std::string& scope,
    const DecoderConfig& config,
    int layer)
    : self_attn(checkpoint, scope + ".self_attn", config, layer),
      residual_scale(config.residual_scale) {
  bool before = config.norms != NormPlace::after;
  bool after = config.norms != NormPlace::before;
  auto norm = [&](const char* name, bool is_there) {
    return maybe_norm(is_there, checkpoint, scope + name, config.hidden_size, config);
  };
  attention_in = norm(".input_layernorm", before);
  attention_out = norm(".post_attention_layernorm", after);
  mlp_in =
      norm(after ? ".pre_feedforward_layernorm" : ".post_attention_layernorm", before);
  mlp_out = norm(".post_feedforward_layernorm", after);
  if (config.layer(layer).is_sparse) {
    sparse_mlp.emplace(checkpoint, scope + ".mlp", config);
  } else {
    mlp.emplace(checkpoint, scope + ".mlp", config);
  }
}

mx::array DecoderLayer::operator()(
    const mx::array& x,
    const RopeTable& table,
    const AttendFn& attend,
    int layer) const {
  auto attended = self_attn(normed(attention_in, x), table, attend, layer);
  auto h = x + scaled(normed(attention_out, attended), residual_scale);
  auto inner = normed(mlp_in, h);
  auto fed = mlp ? (*mlp)(inner) : (*sparse_mlp)(inner);
  return h + scaled(normed(mlp_out, fed), residual_scale);
}

}  // namespace pupil
