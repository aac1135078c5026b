// A block of a decoder: attention, then an MLP or a mixture of experts, each between
// the norms that its family has.
//
// The model runs over a flat list of N tokens, each with its position; how tokens group
// into sequences is known only to the attention function that the caller passes in
// (models/attend.h). So sampling, prefill and training share one forward.
//
// Shapes: N tokens, D model width, H query heads, K key/value heads, E head width.

#pragma once

#include <functional>
#include <optional>
#include <string>

#include "models/model_config.h"
#include "models/sparse_mlp.h"
#include "nn/layers.h"
#include "ops/rope.h"

namespace pupil {

/// Attention of one layer: q [N, H, E], k and v [N, K, E], turned by their positions
/// -> [N, H, E].
using AttendFn = std::function<mx::array(
    int layer, const mx::array& q, const mx::array& k, const mx::array& v)>;

struct Attention {
  std::optional<Linear> q_proj, k_proj, v_proj;
  std::optional<Linear> qkv_proj;  // the three as one, in their place
  Linear o_proj;
  std::optional<RmsNorm> q_norm, k_norm;  // over each head, or all of a token's
  int heads, kv_heads, head_dim;
  bool is_turned;  // by positions

  Attention(
      Checkpoint& checkpoint,
      const std::string& scope,
      const DecoderConfig& config,
      int layer);

  /// x [N, D] -> [N, D]
  mx::array operator()(
      const mx::array& x,
      const RopeTable& table,
      const AttendFn& attend,
      int layer) const;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("q_proj", self.q_proj);
    f("k_proj", self.k_proj);
    f("v_proj", self.v_proj);
    f("qkv_proj", self.qkv_proj);
    f("o_proj", self.o_proj);
    f("q_norm", self.q_norm);
    f("k_norm", self.k_norm);
  }

 private:
  std::vector<mx::array> projected(const mx::array& x) const;
};

struct Mlp {
  std::optional<Linear> gate_proj, up_proj;
  std::optional<Linear> gate_up_proj;  // the two as one, in their place
  Linear down_proj;
  bool uses_gelu;

  Mlp(Checkpoint& checkpoint, const std::string& scope, const DecoderConfig& config);

  mx::array operator()(const mx::array& x) const;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("gate_proj", self.gate_proj);
    f("up_proj", self.up_proj);
    f("gate_up_proj", self.gate_up_proj);
    f("down_proj", self.down_proj);
  }
};

struct DecoderLayer {
  std::optional<RmsNorm> attention_in, attention_out, mlp_in, mlp_out;
  Attention self_attn;
  std::optional<Mlp> mlp;
  std::optional<SparseMlp> sparse_mlp;  // in its place
  float residual_scale;

  DecoderLayer(
      Checkpoint& checkpoint,
      const std::string& scope,
      const DecoderConfig& config,
      int layer);

  /// x [N, D] -> [N, D]
  mx::array operator()(
      const mx::array& x,
      const RopeTable& table,
      const AttendFn& attend,
      int layer) const;

  // "post_attention_layernorm" is what follows attention: the MLP's norm in Llama,
  // attention's own where it has one.
  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("input_layernorm", self.attention_in);
    f("self_attn", self.self_attn);
    f("post_attention_layernorm",
      self.attention_out ? self.attention_out : self.mlp_in);
    if (self.attention_out) f("pre_feedforward_layernorm", self.mlp_in);
    f("post_feedforward_layernorm", self.mlp_out);
    f("mlp", self.mlp);
    f("mlp", self.sparse_mlp);
  }
};

}  // namespace pupil
