// The kernels' own layout of a quantised weight, made once when a model is loaded.

#pragma once

#include "ops/linear.h"

namespace pupil::cpu {

/// The same weight in the tiles of tile_layout.h: packed [T, in * bits / 32, 16],
/// scales and biases [T, in / group_size, 16] for T = ceil(out / 16). Evaluates its
/// arrays.
QuantizedWeight tiled(const QuantizedWeight& weight);

/// Rows of a tiled table: ids [...] int32 -> [..., in] in `dtype`. Ids outside the
/// table give NaN.
mx::array tiled_rows(
    const QuantizedWeight& table, const mx::array& ids, mx::Dtype dtype);

}  // namespace pupil::cpu
