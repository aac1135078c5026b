// Matrix products on all threads.

#pragma once

#include <memory>
#include <span>

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
  const float* inner = nullptr;  // scale A down [M, rank] where that is known already
  int64_t inner_stride = 0;
};

/// A product, and the term that is added on top of its own sum.
struct Product {
  Gemm gemm;
  LowRankTerm term;
};

/// Computes the products; those of one A with quantised weights of one format share its
/// codes and run as one job, which adds the terms while a tile is in the cache. Terms
/// of one A and scale whose `down` lie side by side, as columns of one matrix, share
/// the inner product.
void multiply(std::span<const Product> products);

/// scale A B [M, N], what an adapter's inner product gives.
std::unique_ptr<float[]> scaled_product(
    const float* a,
    int64_t a_stride,
    const MatrixB& b,
    int64_t m,
    int64_t n,
    int64_t k,
    float scale);

/// A float32 matrix as a B; `transposed`: data holds its transpose.
MatrixB float_matrix(const float* data, int64_t row_stride, bool transposed);

}  // namespace pupil::cpu
