#pragma once

#include <string>

#include "base/fields.h"

namespace pupil {

/// What of the model is trained, in mlx-lm's terms.
struct LoraConfig {
  std::string fine_tune_type = "lora";
  int rank = 16;
  float scale = 2.0f;
  bool use_rslora = false;
  double dropout = 0;
  int num_layers = -1;
  std::string keys = "all_linear";

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("fine_tune_type",
      self.fine_tune_type,
      "what is trained: an adapter, an adapter and the length of each output's "
      "weights, "
      "or the weights of a dense model (docs/training.md)",
      Choices{"lora|dora|full"});
    f("rank", self.rank, "inner width of an adapter", Range{1, 1024});
    f("scale",
      self.scale,
      "multiplies the adapter's output; PEFT's alpha / rank",
      kPositive);
    f("use_rslora",
      self.use_rslora,
      "multiply by scale * sqrt(rank) instead: PEFT's alpha / sqrt(rank)");
    f("dropout",
      self.dropout,
      "share of an adapter's inputs that a training step leaves out; the sampler "
      "leaves "
      "out none (docs/training.md)",
      Range{0, 0.99});
    f("num_layers", self.num_layers, "train the last N layers; -1: all", Range{-1});
    f("keys",
      self.keys,
      "comma-separated modules of a layer (self_attn.q_proj,...), all_linear, experts; "
      "full: also input_layernorm, post_attention_layernorm, or all");
  }
};

}  // namespace pupil
