// The weight of a linear, as the kernels read it.

#pragma once

#include <span>

#include "ops/cpu/arrays.h"

namespace pupil::cpu {

/// How a weight W [out, in] is packed, and whether a product takes its transpose: x W^T
/// if so, dy W if not.
struct WeightFormat {
  int group_size = 0, bits = 0;  // 0: dense
  bool transposed = true;

  bool operator==(const WeightFormat&) const = default;
};

/// The weight as a B: one array if dense; packed, scales and biases, in tiles, if not.
MatrixB matrix_of(std::span<const mx::array> weight, const WeightFormat& format);

/// A copy in row order where the array is a view; kernels read weights as they lie.
mx::array in_row_order(const mx::array& x);

/// `shape` with another last side.
mx::Shape with_last(mx::Shape shape, int last);

}  // namespace pupil::cpu
