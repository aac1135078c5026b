// A mixture of experts (arXiv:1701.06538) as Qwen3-MoE has it: a router gives each
// token a few of many MLPs, whose outputs add up by its weights.
//
// Shapes: N tokens, D model width, X experts, P of them for each token, F their width.

#pragma once

#include <optional>
#include <string>

#include "models/model_config.h"
#include "nn/layers.h"

namespace pupil {

/// One linear of every expert, stacked as mlx-lm's SwitchLinear has it: dense or
/// packed.
struct ExpertLinear {
  mx::array weight;                       // [X, out, in], or packed uint32
  std::optional<mx::array> scales;        // [X, out, in / group_size]; none: dense
  std::optional<mx::array> quant_biases;  // the same; none if not affine
  Quantization quantization = kDense;
  // An adapter of each expert: a [X, rank, in], b [X, out, rank].
  std::optional<Lora> lora;
  int count, out, in;

  /// Takes mlp.switch_mlp.`name` from `scope` = "...mlp", or stacks Hugging Face's
  /// mlp.experts.<i>.`name`.
  ExpertLinear(
      Checkpoint& checkpoint,
      const std::string& scope,
      const std::string& name,
      int count,
      int out,
      int in);

  /// x [N, 1 or P, 1, in], chosen [N, P] uint32 -> [N, P, 1, out], in x's type.
  mx::array operator()(const mx::array& x, const mx::array& chosen) const;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("weight", self.weight);
    f("scales", self.scales);
    f("biases", self.quant_biases);
    if (self.lora) {
      f("lora_a", self.lora->a);
      f("lora_b", self.lora->b);
    }
  }

 private:
  mx::array base(const mx::array& x, const mx::array& chosen) const;
};

/// The experts' MLPs.
struct SwitchMlp {
  ExpertLinear gate_proj, up_proj, down_proj;

  SwitchMlp(
      Checkpoint& checkpoint, const std::string& scope, const DecoderConfig& config);

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("gate_proj", self.gate_proj);
    f("up_proj", self.up_proj);
    f("down_proj", self.down_proj);
  }
};

struct SparseMlp {
  Linear gate;  // the router
  SwitchMlp switch_mlp;
  int per_token;
  bool norm_topk_prob;

  SparseMlp(
      Checkpoint& checkpoint, const std::string& scope, const DecoderConfig& config);

  /// x [N, D] -> [N, D]. The choice has no gradient, the weights of those chosen do.
  mx::array operator()(const mx::array& x) const;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("gate", self.gate);
    f("switch_mlp", self.switch_mlp);
  }
};

}  // namespace pupil
