// The dense products that MLX itself asks of a BLAS: our cblas_sgemm.

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "ops/linear.h"
#include "ops/support.h"

extern "C" void cblas_sgemm(
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
    int ldc);

namespace pupil {
namespace {

using ops_test::distance;
using ops_test::kTolerance;
using ops_test::normal;

// libmlx resolves the symbol in the same order as this look-up.
TEST(Blas, OursStandsInFrontOfTheOneInTheWheel) {
#if defined(__APPLE__)
  GTEST_SKIP() << "MLX calls Accelerate on a Mac";
#endif
  Dl_info found{}, own{};
  ASSERT_NE(dladdr(dlsym(RTLD_DEFAULT, "cblas_sgemm"), &found), 0);
  ASSERT_NE(dladdr(reinterpret_cast<void*>(&has_cpu_kernel), &own), 0);
  EXPECT_EQ(found.dli_fbase, own.dli_fbase);
}

TEST(Blas, MatmulEqualsSumsForTransposesAndScales) {
  auto a = normal({2, 19, 33}, 1), b = normal({2, 33, 21}, 2), c = normal({19, 21}, 3);
  auto expected = mx::sum(mx::expand_dims(a, -1) * mx::expand_dims(b, 1), 2);
  EXPECT_LT(distance(mx::matmul(a, b), expected), kTolerance);
  auto at = mx::contiguous(mx::swapaxes(a, 1, 2)),
       bt = mx::contiguous(mx::swapaxes(b, 1, 2));
  mx::eval(at, bt);
  EXPECT_LT(distance(mx::matmul(mx::swapaxes(at, 1, 2), b), expected), kTolerance);
  EXPECT_LT(distance(mx::matmul(a, mx::swapaxes(bt, 1, 2)), expected), kTolerance);
  auto scaled = mx::addmm(c, a, b, 0.5f, 2.0f);
  EXPECT_LT(distance(scaled, 0.5f * expected + 2.0f * c), kTolerance);
}

// alpha A [2, 2] B [2, 3] + beta C [2, 3], row-major.
std::vector<float> product(
    float alpha,
    const std::vector<float>& a,
    const std::vector<float>& b,
    float beta,
    std::vector<float> c) {
  cblas_sgemm(
      101, 111, 111, 2, 3, 2, alpha, a.data(), 2, b.data(), 3, beta, c.data(), 3);
  return c;
}

TEST(Blas, AFactorOfZeroReadsNothingOfWhatItMultiplies) {
#if defined(__APPLE__)
  GTEST_SKIP() << "Accelerate's";
#endif
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> a(4, 1.0f), b(6, 2.0f), c = {1, 2, 3, 4, 5, 6};
  std::vector<float> none(6, kNan), half = {0.5f, 1, 1.5f, 2, 2.5f, 3};
  EXPECT_EQ(product(0, std::vector<float>(4, kNan), b, 0.5f, c), half);
  EXPECT_EQ(product(0, a, none, 1, c), c);
  EXPECT_EQ(product(0, a, none, 0, none), std::vector<float>(6, 0.0f));
  EXPECT_EQ(product(1, a, b, 0, none), std::vector<float>(6, 4.0f));
  EXPECT_EQ(product(0.5f, a, b, 0, none), std::vector<float>(6, 2.0f));
}

TEST(Blas, NoOpenMPRuntimeIsInTheProcess) {
#if !defined(__linux__)
  GTEST_SKIP() << "needs /proc";
#endif
  mx::eval(mx::matmul(normal({70, 300}, 1), normal({300, 90}, 2)));
  std::ifstream maps("/proc/self/maps");
  int libraries = 0;
  for (std::string line; std::getline(maps, line);) {
    libraries += line.find("libmlx") != std::string::npos;
    for (const char* runtime : {"libgomp", "libiomp", "libomp"})
      EXPECT_EQ(line.find(runtime), std::string::npos) << line;
  }
  EXPECT_GT(libraries, 0);
}

}  // namespace
}  // namespace pupil
