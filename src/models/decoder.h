// A decoder: embedding, blocks, a norm, a head. What differs between families is data
// in DecoderConfig, not code here.
//
// Shapes: N tokens, D model width, E head width, V vocabulary.

#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "models/decoder_layer.h"

namespace pupil {

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
  mx::Dtype dtype;               // of activations
  mx::array rope_periods;        // [R / 2] float32, of the R dimensions that turn
  mx::array local_rope_periods;  // the same of LayerRope::local
  DecoderBody model;
  std::optional<Linear> lm_head;  // none: the embedding table is the head
  // Keep only each block's input for the backward pass and compute the block again
  // there (gradient checkpointing, arXiv:1604.06174): less memory, a third more work,
  // the same bits.
  bool recompute_blocks = false;
  // Bits of the keys and values that rows hold while they decode, in which every
  // forward then computes: 8 (ops/kv_codes.h); 0: the activations' own.
  int kv_bits = 0;
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

  /// tokens [N] int32 -> what the first block takes, [N, D].
  mx::array embed(const mx::array& tokens) const;

  /// The angles of positions [N] int32 in layers of this kind.
  RopeTable turns(const mx::array& positions, LayerRope rope) const;

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
