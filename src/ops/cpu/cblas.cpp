// Our cblas_sgemm, which the dynamic linker takes instead of the one in MLX's wheel
// because the executable comes first: all of MLX's remaining float32 products then run
// on our kernels. Symbols and values of the C interface to BLAS.

#include <cstdint>
#include <memory>

#include "ops/cpu/gemm.h"

namespace pupil::cpu {
namespace {

constexpr int kRowMajor = 101, kNoTranspose = 111;

struct Sgemm {
  bool transpose_a, transpose_b;
  int64_t m, n, k;
  float alpha;
  const float* a;
  int64_t lda;
  const float* b;
  int64_t ldb;
  float beta;
  float* c;
  int64_t ldc;
};

// Row-major op(A) [M, K], as the kernels read it.
std::unique_ptr<float[]> transposed_a(const Sgemm& s) {
  auto copy = std::make_unique_for_overwrite<float[]>(s.m * s.k);
  constexpr int64_t kBlock = 16;
  for (int64_t m = 0; m < s.m; m += kBlock)
    for (int64_t k = 0; k < s.k; ++k)
      for (int64_t i = m; i < m + kBlock && i < s.m; ++i)
        copy[i * s.k + k] = s.a[k * s.lda + i];
  return copy;
}

// C = beta C, where beta = 0 does not read C.
void scale_c(const Sgemm& s) {
  for (int64_t i = 0; i < s.m; ++i)
    for (int64_t j = 0; j < s.n; ++j) {
      float& c = s.c[i * s.ldc + j];
      c = s.beta == 0 ? 0.0f : s.beta * c;
    }
}

// C = alpha P + beta C
void combine(const Sgemm& s, const float* product) {
  scale_c(s);
  for (int64_t i = 0; i < s.m; ++i)
    for (int64_t j = 0; j < s.n; ++j)
      s.c[i * s.ldc + j] += s.alpha * product[i * s.n + j];
}

// alpha = 0 reads neither A nor B: what is not finite there stays there.
void run(const Sgemm& s) {
  if (s.alpha == 0) return scale_c(s);
  std::unique_ptr<float[]> copy, product;
  if (s.transpose_a) copy = transposed_a(s);
  bool plain = s.alpha == 1 && (s.beta == 0 || s.beta == 1);
  if (!plain) product = std::make_unique_for_overwrite<float[]>(s.m * s.n);
  MatrixB b{};
  b.data = s.b;
  b.format = Format::f32;
  b.transposed = s.transpose_b;
  b.row_stride = s.ldb;
  Gemm gemm{
      copy ? copy.get() : s.a,
      copy ? s.k : s.lda,
      b,
      plain ? s.c : product.get(),
      plain ? s.ldc : s.n,
      s.m,
      s.n,
      s.k,
      plain && s.beta == 1};
  multiply(gemm);
  if (!plain) combine(s, product.get());
}

}  // namespace

}  // namespace pupil::cpu

extern "C" __attribute__((visibility("default"))) void cblas_sgemm(
    int layout,
    int trans_a,
    int trans_b,
    int m,
    int n,
    int k,
    float alpha,
    const float* a,
    int lda,
    const float* b,
    int ldb,
    float beta,
    float* c,
    int ldc) {
  bool ta = trans_a != pupil::cpu::kNoTranspose,
       tb = trans_b != pupil::cpu::kNoTranspose;
  if (layout == pupil::cpu::kRowMajor)
    pupil::cpu::run({ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc});
  else  // column-major C is row-major C^T = op(B)^T op(A)^T
    pupil::cpu::run({tb, ta, n, m, k, alpha, b, ldb, a, lda, beta, c, ldc});
}
