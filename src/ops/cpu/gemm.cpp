#include "ops/cpu/gemm.h"

#include <algorithm>
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
Tiling tiling_for(const Gemm& g) {
  const auto& table = kernels();
  int64_t wanted = num_threads() == 1 ? 1 : num_threads() * 8;
  int64_t width = g.m <= table.wide_rows ? table.wide_columns : table.narrow_columns;
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

}  // namespace

void multiply(const Gemm& g) {
  if (g.m == 0 || g.n == 0) return;
  if (g.k == 0) {
    if (!g.accumulate) clear(g);
    return;
  }
  auto tiling = tiling_for(g);
  auto* tile = kernels().gemm_tile;
  parallel_for(static_cast<int>(tiling.down * tiling.across), [&](int i) {
    int64_t m = i % tiling.down * tiling.rows, n = i / tiling.down * tiling.columns;
    tile(g, {m, std::min(m + tiling.rows, g.m), n, std::min(n + tiling.columns, g.n)});
  });
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
