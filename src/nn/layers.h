// Layers are plain structs: arrays, a constructor that takes them from a checkpoint, a
// const call operator, and one `visit`.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nn/parameters.h"
#include "ops/activations.h"
#include "ops/linear.h"

namespace pupil {

/// DoRA's part of an adapter (arXiv:2402.09353): each output's weights W + scale (A
/// B)^T get the length `m`. As the paper proposes, and mlx-lm and PEFT do, their own
/// length is a constant of the gradient, and so it is computed once for all that
/// happens between two changes of A and B.
struct Magnitude {
  mx::array m;         // [out] float32, at first the lengths of W's rows
  mx::array norm;      // [out] float32, those of W + scale (A B)^T
  mx::array own_norm;  // [out] float32, those of W
};

/// Low-rank adapter (arXiv:2106.09685), in mlx-lm's layout: adds
/// scale * (x @ a) @ b to a frozen linear map.
struct Lora {
  mx::array a;  // [in, rank] float32, uniform(-1/sqrt(in), 1/sqrt(in))
  mx::array b;  // [rank, out] float32, zeros: a fresh adapter changes nothing
  float scale;
  std::optional<Magnitude> magnitude = {};  // none: LoRA
  // The share of x that the adapter does not see, the rest divided by what remains, and
  // what chooses it; without a key, it sees all.
  float dropout = 0.0f;
  std::optional<mx::array> dropout_key = {};
};

/// What an adapter with a dropout key sees of x: mlx.nn.Dropout with that key.
mx::array dropped(const mx::array& x, const Lora& lora);

/// A weight matrix: dense, or packed with scales and, in the affine mode, biases, as
/// this device's kernels want it.
struct Weight {
  mx::array weight;                       // [out, in], or packed uint32
  std::optional<mx::array> scales;        // [out, in / group_size]; none: dense
  std::optional<mx::array> quant_biases;  // the same; none if not affine
  Quantization quantization = kDense;     // of these arrays
  bool was_packed = false;                // in the checkpoint
  int tiled_out = 0;  // not 0: in the CPU kernels' tiles, for so many outputs

  /// Takes `scope`.weight and, if it is quantised, .scales and .biases. What this
  /// device has no kernel for is unpacked.
  Weight(Checkpoint& checkpoint, const std::string& scope, int out, int in);

  /// x [..., in] -> x W^T [..., out], in x's type; with an adapter's term if there is
  /// one.
  mx::array operator()(const mx::array& x, const std::optional<Lora>& lora = {}) const;
  /// ids [...] int32 -> rows [..., in] in `dtype`.
  mx::array rows(const mx::array& ids, mx::Dtype dtype) const;
  /// The packed weight of a quantised matrix.
  QuantizedWeight packed() const;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("weight", self.weight);
    f("scales", self.scales);
    f("biases", self.quant_biases);
  }
};

struct Linear {
  Weight base;
  std::optional<mx::array> bias;  // [out]
  std::optional<Lora> lora;
  int out, in;

  Linear(
      Checkpoint& checkpoint, const std::string& scope, int out, int in, bool has_bias);

  /// x [..., in] -> [..., out], in x's type.
  mx::array operator()(const mx::array& x) const;
  /// y [..., out] with its magnitude and bias, if there are.
  mx::array finished(const mx::array& y) const;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    Weight::visit(self.base, f);
    f("bias", self.bias);
    if (self.lora) {
      f("lora_a", self.lora->a);
      f("lora_b", self.lora->b);
      if (self.lora->magnitude) f("m", self.lora->magnitude->m);
    }
  }
};

/// Linears of one input x [..., in] -> their outputs; one operation where it can be.
std::vector<mx::array> together(
    const mx::array& x, const std::vector<const Linear*>& linears);

struct RmsNorm {
  mx::array weight;  // [D]
  float eps;
  bool adds_one;  // multiplies by 1 + weight, as Gemma does

  RmsNorm(
      Checkpoint& checkpoint,
      const std::string& scope,
      int dim,
      float eps,
      bool adds_one = false)
      : weight(checkpoint.take(scope + ".weight", {dim})),
        eps(eps),
        adds_one(adds_one) {}

  mx::array operator()(const mx::array& x) const {
    return rms_norm(x, adds_one ? weight + mx::ones_like(weight) : weight, eps);
  }

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("weight", self.weight);
  }
};

}  // namespace pupil
