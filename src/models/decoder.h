// A dense pre-norm decoder: the shape of Llama, Mistral and Qwen2.5. What differs
// between those families is data in DecoderConfig, not code here.
//
// The model runs over a flat list of N tokens, each with its position; how tokens group
// into sequences is known only to the attention function that the caller passes in
// (models/attend.h). So sampling, prefill and training share one forward.
//
// Shapes: N tokens, D model width, H query heads, K key/value heads, E head width,
// V vocabulary.

#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "models/model_config.h"
#include "nn/layers.h"
#include "ops/rope.h"

namespace pupil {

/// Attention of one layer: q [N, H, E], k and v [N, K, E], turned by their positions
/// -> [N, H, E].
using AttendFn = std::function<mx::array(
    int layer, const mx::array& q, const mx::array& k, const mx::array& v)>;

struct Attention {
  Linear q_proj, k_proj, v_proj, o_proj;
  int head_dim;

  Attention(
      Checkpoint& checkpoint, const std::string& scope, const DecoderConfig& config);

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
    f("o_proj", self.o_proj);
  }
};

struct Mlp {
  Linear gate_proj, up_proj, down_proj;

  Mlp(Checkpoint& checkpoint, const std::string& scope, const DecoderConfig& config);

  mx::array operator()(const mx::array& x) const;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("gate_proj", self.gate_proj);
    f("up_proj", self.up_proj);
    f("down_proj", self.down_proj);
  }
};

struct DecoderLayer {
  RmsNorm input_layernorm;
  Attention self_attn;
  RmsNorm post_attention_layernorm;
  Mlp mlp;

  DecoderLayer(
      Checkpoint& checkpoint, const std::string& scope, const DecoderConfig& config);

  /// x [N, D] -> [N, D]
  mx::array operator()(
      const mx::array& x,
      const RopeTable& table,
      const AttendFn& attend,
      int layer) const;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("input_layernorm", self.input_layernorm);
    f("self_attn", self.self_attn);
    f("post_attention_layernorm", self.post_attention_layernorm);
    f("mlp", self.mlp);
  }
};

/// The weights under "model.": everything but an untied head.
struct DecoderBody {
  Weight embed_tokens;  // [V, D]
  std::vector<DecoderLayer> layers;
  RmsNorm norm;

  DecoderBody(Checkpoint& checkpoint, const DecoderConfig& config);

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("embed_tokens", self.embed_tokens);
    f("layers", self.layers);
    f("norm", self.norm);
  }
};

/// A whole model. Copying it copies handles, not tensors.
struct Decoder {
  DecoderConfig config;
  mx::Dtype dtype;         // of activations
  mx::array rope_periods;  // [E / 2] float32
  DecoderBody model;
  std::optional<Linear> lm_head;  // none: the embedding table is the head
  // Keep only each block's input for the backward pass and compute the block again
  // there (gradient checkpointing, arXiv:1604.06174): less memory, a third more work,
  // the same bits.
  bool recompute_blocks = false;
  // Paths of the weights that full fine-tuning trains, float32 all of them; empty: the
  // adapter's arrays alone are trained.
  std::set<std::string, std::less<>> trained_weights = {};

  /// Throws std::invalid_argument if a tensor is missing, misshapen or left over.
  Decoder(Checkpoint checkpoint, const DecoderConfig& config, mx::Dtype dtype);

  /// tokens and positions [N] int32 -> hidden states after the final norm, [N, D].
  mx::array operator()(
      const mx::array& tokens,
      const mx::array& positions,
      const AttendFn& attend) const;

  /// hidden [N, D] -> logits [N, V]
  mx::array head(const mx::array& hidden) const;

  /// Whether training changes the array of this path.
  bool is_trained(std::string_view path) const {
    return trained_weights.empty() ? is_lora(path) : trained_weights.contains(path);
  }

  /// Bytes that the blocks keep of one token for the backward pass, of `dtype`.
  int64_t kept_bytes_per_token() const;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("model", self.model);
    f("lm_head", self.lm_head);
  }
};

}  // namespace pupil
