// Matrix products on all threads.

#pragma once

#include "ops/cpu/kernel_table.h"

namespace pupil::cpu {

/// Computes gemm.c. Every output has the same bits for any number of rows and threads.
/// C may not overlap A or B.
void multiply(const Gemm& gemm);

/// scale (A down) up, what an adapter adds to a product: down [K, rank], up [rank, N].
struct LowRankTerm {
  MatrixB down, up;
  int64_t rank;  // 0: nothing is added
  float scale;
};

/// Computes gemm.c with the term added, on top of the product's own sum.
void multiply(const Gemm& gemm, const LowRankTerm& term);

/// A float32 matrix as a B; `transposed`: data holds its transpose.
MatrixB float_matrix(const float* data, int64_t row_stride, bool transposed);

}  // namespace pupil::cpu
