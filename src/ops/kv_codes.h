// Keys and values in 8 bits, as a cache may hold them: groups of a head's elements,
// each with one scale.
//   scale = max(bfloat16(max |x| / 127), 2^-100), code = round(x / scale) in [-127,
//   127]
// A value, code times scale, has 15 bits at the most and is exact in float32; coded
// again it has the same code and scale. A group with a number that is not finite is
// NaN.

#pragma once

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

/// Elements of a group: 32, or all of a head whose width that does not divide.
constexpr int kv_group(int width) {
  return width % 32 == 0 ? 32 : width;
}

/// Throws std::invalid_argument "[kv cache] ..." unless `bits` are 0 (none) or 8.
void expect_kv_bits(int bits);

/// What a cache of so many bits holds of keys or values x [..., E], in x's type: x
/// itself for 0. The gradient goes straight through, as if nothing were rounded
/// (arXiv:1308.3432).
mx::array kv_rounded(const mx::array& x, int bits);

/// The definition for 8 bits, in MLX ops.
mx::array kv_rounded_fallback(const mx::array& x);

}  // namespace pupil
