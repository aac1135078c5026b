#pragma once

#include <string>

#include "base/fields.h"

namespace pupil {

/// Which linears get an adapter and of what shape, in mlx-lm's terms.
struct LoraConfig {
  std::string fine_tune_type = "lora";
  int rank = 16;
  float scale = 2.0f;
  int num_layers = -1;
  std::string keys = "all_linear";

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("fine_tune_type", self.fine_tune_type, "what is trained", Choices{"lora"});
    f("rank", self.rank, "inner width of an adapter", Range{1, 1024});
    f("scale",
      self.scale,
      "multiplies the adapter's output; PEFT's alpha / rank",
      kPositive);
    f("num_layers",
      self.num_layers,
      "adapters on the last N layers; -1: on all",
      Range{-1});
    f("keys",
      self.keys,
      "comma-separated modules of a layer (self_attn.q_proj,...), or all_linear");
  }
};

}  // namespace pupil
