// Values between the program's memory and arrays.

#pragma once

#include <vector>

#include "mlx/mlx.h"

namespace pupil {

/// The values as float32, in row order. Evaluates the array.
inline std::vector<float> host_values(const mlx::core::array& a) {
  auto flat = mlx::core::contiguous(mlx::core::astype(a, mlx::core::float32));
  flat.eval();
  return {flat.data<float>(), flat.data<float>() + flat.size()};
}

/// The same numbers as an array [N] int32.
inline mlx::core::array int_array(const std::vector<int>& values) {
  return mlx::core::array(
      values.data(), {static_cast<int>(values.size())}, mlx::core::int32);
}

}  // namespace pupil
