// An array's values in the program's memory.

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

}  // namespace pupil
