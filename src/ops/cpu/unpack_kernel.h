// One row of a quantised weight in tiles as float32.

#pragma once

#include "ops/cpu/code_panel.h"

namespace pupil::cpu {
namespace {

template <class V>
void unpack_row(const MatrixB& b, int64_t row, int64_t width, float* out) {
  auto weights = b.format == Format::q4 ? row_weights<V, 4> : row_weights<V, 8>;
  for (int64_t k = 0; k < width; k += V::kLanes)
    V::store(out + k, weights(b, row, row + 1, k));
}

}  // namespace
}  // namespace pupil::cpu
