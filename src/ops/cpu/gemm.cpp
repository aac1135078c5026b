#include "ops/cpu/gemm.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "ops/cpu/cpu_features.h"
#include "ops/cpu/thread_pool.h"

namespace pupil::cpu {
namespace {

// A tile below this many multiply-adds costs more to hand over than to compute.
constexpr int64_t kMinTileWork = 32 * 1024;
constexpr int64_t kMinTileRows = 48;

struct Tiling {
  int64_t rows, columns;  // of a tile
  int64_t down, across;   // number of tiles
};

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

int64_t round_up(int64_t a, int64_t multiple) {
  return ceil_div(a, multiple) * multiple;
}

// Whole columns while they make enough tiles, since B is unpacked once a tile; rows are
// split where B is narrow.
Tiling tiling_for(const Gemm& g, int64_t width) {
  int64_t wanted = num_threads() == 1 ? 1 : num_threads() * 8;
  int64_t least = ceil_div(kMinTileWork, std::max<int64_t>(1, g.m * g.k));
  int64_t columns = round_up(std::max(ceil_div(g.n, wanted), least), width);
  int64_t across = ceil_div(g.n, columns);
  int64_t rows = g.m;
  if (across < wanted / 2 && g.m > kMinTileRows)
    rows = round_up(std::max(ceil_div(g.m * across, wanted), kMinTileRows), 12);
  return {rows, columns, ceil_div(g.m, rows), across};
}

void clear(const Gemm& g) {
  for (int64_t i = 0; i < g.m; ++i)
    std::fill(g.c + i * g.c_stride, g.c + i * g.c_stride + g.n, 0.0f);
}

template <class Body>
void for_tiles(const Gemm& g, const Tiling& tiling, const Body& body) {
  parallel_for(static_cast<int>(tiling.down * tiling.across), [&](int i) {
    int64_t m = i % tiling.down * tiling.rows, n = i / tiling.down * tiling.columns;
    body(Tile{m, std::min(m + tiling.rows, g.m), n, std::min(n + tiling.columns, g.n)});
  });
}

CodeOrder order_for(const Gemm& g) {
  bool four = g.b.format == Format::q4;
  if (!g.b.transposed) return CodeOrder::natural;
  if (g.m <= kFewRows && kernels().byte_dots)
    return four ? CodeOrder::bytes4 : CodeOrder::bytes8;
  return four ? CodeOrder::pairs4 : CodeOrder::pairs8;
}

/// Rows of A in whole numbers, with their memory.
class Coded {
 public:
  explicit Coded(const Gemm& g) {
    rows_.group_size = g.b.transposed ? g.b.group_size : kBackwardGroup;
    rows_.limit = g.b.transposed ? kForwardLimit : kBackwardLimit;
    rows_.order = order_for(g);
    rows_.groups = ceil_div(g.k, rows_.group_size);
    codes_ = std::make_unique_for_overwrite<int16_t[]>(g.m * rows_.stride());
    floats_ = std::make_unique_for_overwrite<float[]>(2 * g.m * rows_.groups);
    rows_.codes = codes_.get();
    rows_.scales = floats_.get();
    rows_.sums = floats_.get() + g.m * rows_.groups;
    fill(g);
  }

  const CodedRows& rows() const { return rows_; }

 private:
  CodedRows rows_{};
  std::unique_ptr<int16_t[]> codes_;
  std::unique_ptr<float[]> floats_;

  void fill(const Gemm& g) {
    auto* code_row = kernels().code_row;
    int64_t rows = ceil_div(kMinTileWork / 4, g.k);  // a tile
    parallel_for(static_cast<int>(ceil_div(g.m, rows)), [&](int i) {
      for (int64_t m = i * rows; m < std::min(g.m, (i + 1) * rows); ++m)
        code_row(g.a + m * g.a_stride, g.k, rows_, m);
    });
  }
};

// B is quantised: the product in whole numbers.
void multiply_codes(const Gemm& g) {
  Coded coded(g);
  CodeGemm product{coded.rows(), g.b, g.c, g.c_stride, g.m, g.n, g.k};
  auto tiling = tiling_for(g, kernels().code_columns);
  if (product.few_rows()) tiling.rows = g.m, tiling.down = 1;
  auto* tile = kernels().code_tile;
  for_tiles(g, tiling, [&](const Tile& t) { tile(product, t); });
}

}  // namespace

void multiply(const Gemm& g) {
  if (g.m == 0 || g.n == 0) return;
  if (g.k == 0) {
    if (!g.accumulate) clear(g);
    return;
  }
  const auto& table = kernels();
  if (g.b.format == Format::q4 || g.b.format == Format::q8) return multiply_codes(g);
  int64_t width = g.m <= table.wide_rows ? table.wide_columns : table.narrow_columns;
  for_tiles(g, tiling_for(g, width), [&](const Tile& t) { table.gemm_tile(g, t); });
}

void multiply(const Gemm& g, const LowRankTerm& t) {
  multiply(g);
  if (t.rank == 0 || g.m == 0 || g.n == 0) return;
  std::vector<float> inner(g.m * t.rank);
  multiply({g.a, g.a_stride, t.down, inner.data(), t.rank, g.m, t.rank, g.k, false});
  for (float& value : inner) value *= t.scale;
  multiply({inner.data(), t.rank, t.up, g.c, g.c_stride, g.m, g.n, t.rank, true});
}

MatrixB float_matrix(const float* data, int64_t row_stride, bool transposed) {
  MatrixB b{};
  b.data = data;
  b.format = Format::f32;
  b.transposed = transposed;
  b.row_stride = row_stride;
  return b;
}

}  // namespace pupil::cpu
