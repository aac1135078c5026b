// y = x W^T for dense and quantised weights, with the gradient to x (and to a dense W).

#pragma once

#include <optional>
#include <vector>

#include "mlx/mlx.h"
#include "ops/quantization.h"

namespace pupil {

namespace mx = mlx::core;

/// x [..., in], weight [out, in] any float -> [..., out] in x's type.
mx::array linear(const mx::array& x, const mx::array& weight);

/// A weight as MLX packs it (ops/quantization.h): a scale, and in the affine mode a
/// bias, for each `group_size` inputs of an output.
struct QuantizedWeight {
  mx::array packed;                 // [out, in * bits / 32] uint32, low bits first
  mx::array scales;                 // [out, in / group_size] float; uint8 if not affine
  std::optional<mx::array> biases;  // the same, float; none if not affine
  int group_size;
  int bits;
  bool tiled = false;  // in the CPU kernels' layout, ops/cpu/tile_weight.h
  int out = 0;         // of a tiled one, whose arrays are filled up
  QuantMode mode = QuantMode::affine;
};

/// Throws std::invalid_argument "[quantized weight] ..." unless the arrays have the
/// types and shapes of one weight that is not tiled.
void check_weight(const QuantizedWeight& weight);

/// A stack [X, out, ...] as the matrix [X * out, ...] of the same rows; anything else
/// as it is.
QuantizedWeight as_matrix(QuantizedWeight weight);

/// The weight as this device's kernels want it: what a model keeps, the same numbers in
/// 4 or 8 bits of the affine mode where they have a kernel. Evaluates its arrays.
QuantizedWeight prepared(const QuantizedWeight& weight);

/// Whether the CPU kernels read it once it is prepared: affine or mxfp4, on a CPU.
bool has_cpu_kernel(const QuantizedWeight& weight);

/// Whether a model keeps it unpacked: what has no kernel, on a CPU, where MLX's own
/// operation takes the rows one by one.
bool is_kept_unpacked(const QuantizedWeight& weight);

/// The matrix [out, in] of a weight that is not tiled, or the stack [X, out, in] of one
/// that is a stack, in its scales' type; of one that is not affine in bfloat16, which
/// holds all its numbers.
mx::array unpacked(const QuantizedWeight& weight);

/// x [..., in] -> [..., out] in x's type. Gradient to x only. A weight that is not
/// `prepared` is so at each call.
mx::array quantized_linear(const mx::array& x, const QuantizedWeight& weight);

/// What an adapter adds to a linear map: scale (x A) B, arXiv:2106.09685.
struct LowRank {
  mx::array a;  // [in, r] float32
  mx::array b;  // [r, out] float32
  float scale;
};

/// x W^T + scale (x A) B -> [..., out] in x's type, sums in float32. Gradients to x, A
/// and B; of a dense W, none.
mx::array linear(const mx::array& x, const mx::array& weight, const LowRank& low_rank);
mx::array quantized_linear(
    const mx::array& x, const QuantizedWeight& weight, const LowRank& low_rank);

/// Packed linears of one input, each with its term, as `quantized_linear` gives them
/// one by one; the gradient to x is their sum. One operation on a CPU where the weights
/// have one format and the terms one scale.
std::vector<mx::array> quantized_linears(
    const mx::array& x,
    const std::vector<QuantizedWeight>& weights,
    const std::vector<LowRank>& low_ranks);

/// The definition of the low-rank term, in plain MLX ops. -> [..., out] float32
mx::array low_rank_term(const mx::array& x, const LowRank& low_rank);

/// Rows of a quantised table. ids [...] int32 -> [..., in] in `dtype`.
mx::array quantized_rows(
    const QuantizedWeight& table, const mx::array& ids, mx::Dtype dtype);

}  // namespace pupil
