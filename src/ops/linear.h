// y = x W^T for dense and quantised weights, with the gradient to x (and to a dense W).

#pragma once

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

/// x [..., in], weight [out, in] any float -> [..., out] in x's type.
mx::array linear(const mx::array& x, const mx::array& weight);

/// A weight in MLX's affine quantisation: w = scale * q + bias, a scale and a bias for
/// each `group_size` inputs of an output.
struct QuantizedWeight {
  mx::array packed;  // [out, in * bits / 32] uint32, low bits first
  mx::array scales;  // [out, in / group_size]
  mx::array biases;  // [out, in / group_size]
  int group_size;
  int bits;
};

/// x [..., in] -> [..., out] in x's type. Gradient to x only.
mx::array quantized_linear(const mx::array& x, const QuantizedWeight& weight);

/// Rows of a quantised table. ids [...] int32 -> [..., in] in `dtype`.
mx::array quantized_rows(
    const QuantizedWeight& table, const mx::array& ids, mx::Dtype dtype);

}  // namespace pupil
