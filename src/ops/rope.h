// Rotary position embedding (arXiv:2104.09864), in the half-split form of Llama and
// Qwen: dimension i turns together with dimension i + E / 2.

#pragma once

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

/// Cosines and sines of every token's position, computed once for all layers.
struct RopeTable {
  mx::array cos, sin;  // [N, E / 2] float32, or narrower
};

/// Angles are position / period. positions [N] int32, periods [E / 2] float32.
RopeTable rope_table(const mx::array& positions, const mx::array& periods);

/// x [N, H, E] -> the same, each head turned by its token's angles, in x's type. A
/// table of R < E / 2 angles turns the first 2 R dimensions and leaves the others.
mx::array rope(const mx::array& x, const RopeTable& table);

/// The definition, in plain MLX ops.
mx::array rope_fallback(const mx::array& x, const RopeTable& table);

}  // namespace pupil
