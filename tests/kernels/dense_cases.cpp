// C = A B for a dense B, in four tiles.

#include <algorithm>
#include <utility>

#include "kernels/kernel_cases.h"
#include "kernels/numbers.h"

namespace pupil::kernel_cases {
namespace {

using cpu::Format;

struct Shape {
  int64_t m, n, k;
};

constexpr double kTolerance = 2e-6;  // of the sum of magnitudes; up to 400 roundings

std::string name_of(const Shape& s, Format format, bool transposed, bool accumulate) {
  return std::string("gemm/") + format_name(format) + (transposed ? "/turned" : "") +
         (accumulate ? "/added" : "") + "/" + std::to_string(s.m) + "x" +
         std::to_string(s.n) + "x" + std::to_string(s.k);
}

// The rows in two parts and the columns in two, at a panel's edge.
void run_tiles(const cpu::KernelTable& table, const cpu::Gemm& g) {
  int64_t width = g.m <= table.wide_rows ? table.wide_columns : table.narrow_columns;
  int64_t column = std::min(g.n, (g.n / 2 + width - 1) / width * width);
  int64_t row = g.m <= table.wide_rows ? g.m : g.m / 2;
  for (auto [m0, m1] : {std::pair{int64_t{0}, row}, {row, g.m}})
    for (auto [n0, n1] : {std::pair{int64_t{0}, column}, {column, g.n}})
      if (m0 < m1 && n0 < n1) table.gemm_tile(g, {m0, m1, n0, n1});
}

Outcome product(
    const cpu::KernelTable& table,
    const Shape& s,
    Format format,
    bool transposed,
    bool accumulate) {
  Numbers numbers(s.m * 1000 + s.n);
  int64_t a_stride = s.k + 3, c_stride = s.n + 5;
  int64_t b_stride = (transposed ? s.k : s.n) + 2;
  auto a = numbers.values(s.m * a_stride), c = numbers.values(s.m * c_stride);
  FormatValues b(numbers, (transposed ? s.n : s.k) * b_stride, format);
  Outcome o{name_of(s, format, transposed, accumulate), c, {}, {}, kTolerance};
  for (int64_t i = 0; i < s.m * c_stride; ++i) {
    int64_t m = i / c_stride, n = i % c_stride;
    bool kept = accumulate || n >= s.n;  // the columns between the rows are not ours
    double sum = kept ? c[i] : 0, magnitude = std::abs(sum) + 1e-30;
    for (int64_t k = 0; k < s.k && n < s.n; ++k) {
      double x = a[m * a_stride + k] *
                 b.numbers[transposed ? n * b_stride + k : k * b_stride + n];
      sum += x;
      magnitude += std::abs(x);
    }
    o.expected.push_back(sum);
    o.scale.push_back(magnitude);
  }
  cpu::MatrixB matrix{};
  matrix.data = b.data();
  matrix.format = format;
  matrix.transposed = transposed;
  matrix.row_stride = b_stride;
  run_tiles(
      table,
      {a.data(),
       a_stride,
       matrix,
       o.found.data(),
       c_stride,
       s.m,
       s.n,
       s.k,
       accumulate});
  return o;
}

}  // namespace

Outcomes dense_cases(const cpu::KernelTable& table) {
  Outcomes all;
  for (const Shape& s :
       {Shape{1, 1, 1},
        {2, 5, 7},
        {3, 130, 65},
        {5, 17, 33},
        {13, 16, 300},
        {40, 71, 380}})
    for (auto format : {Format::f32, Format::f16, Format::bf16})
      for (bool transposed : {false, true})
        for (bool accumulate : {false, true})
          all.push_back(product(table, s, format, transposed, accumulate));
  return all;
}

}  // namespace pupil::kernel_cases
