#include "ops/cpu/gemm.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "ops/cpu/code_order.h"
#include "ops/cpu/cpu_features.h"
#include "ops/cpu/thread_pool.h"

namespace pupil::cpu {
namespace {

// A tile below this many multiply-adds costs more to hand over than to compute.
constexpr int64_t kMinTileWork = 32 * 1024;
// Rows of a tile, at least: unpacking a weight pays for them, or packing a dense one.
constexpr int64_t kMinTileRows = 48;
constexpr int64_t kMinDenseRows = 12;

/// Of a tile.
struct Tiling {
  int64_t rows, columns;
};

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

int64_t round_up(int64_t a, int64_t multiple) {
  return ceil_div(a, multiple) * multiple;
}

bool is_quantized(const Gemm& g) {
  return g.b.format == Format::q4 || g.b.format == Format::q8;
}

// Whole columns while they make enough tiles, since B is unpacked once a tile; rows are
// split where B is narrow.
Tiling tiling_for(const Gemm& g, int64_t width) {
  int64_t wanted = num_threads() == 1 ? 1 : num_threads() * 8;
  int64_t least = ceil_div(kMinTileWork, std::max<int64_t>(1, g.m * g.k));
  int64_t columns = round_up(std::max(ceil_div(g.n, wanted), least), width);
  int64_t across = ceil_div(g.n, columns);
  int64_t rows = g.m, fewest = is_quantized(g) ? kMinTileRows : kMinDenseRows;
  fewest = std::max(fewest, ceil_div(kMinTileWork, columns * g.k));
  if (across < wanted / 2 && g.m > fewest)
    rows = round_up(
        std::max(ceil_div(g.m * across, wanted), fewest), is_quantized(g) ? 8 : 12);
  return {rows, columns};
}

void clear(const Gemm& g) {
  for (int64_t i = 0; i < g.m; ++i)
    std::fill(g.c + i * g.c_stride, g.c + i * g.c_stride + g.n, 0.0f);
}

void add_tiles(const Gemm& g, const Tiling& tiling, std::vector<Tile>& tiles) {
  for (int64_t n = 0; n < g.n; n += tiling.columns)
    for (int64_t m = 0; m < g.m; m += tiling.rows)
      tiles.push_back(
          {m, std::min(m + tiling.rows, g.m), n, std::min(n + tiling.columns, g.n)});
}

/// Rows of A in whole numbers, with their memory.
class Coded {
 public:
  explicit Coded(const Gemm& g) {
    rows_.group_size = g.b.transposed ? g.b.group_size : kBackwardGroup;
    rows_.limit = g.b.transposed ? kForwardLimit : kBackwardLimit;
    rows_.order = code_order(kernels(), g.b, g.m);
    rows_.rows = g.m;
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

bool needs_inner(const Product& p) {
  return p.term.rank > 0 && !p.term.inner && p.gemm.m > 0 && p.gemm.n > 0;
}

// Whether b's `down` is the next columns of the matrix that holds a's.
bool side_by_side(const Product& a, const Product& b) {
  const auto &s = a.term, &t = b.term;
  return needs_inner(a) && needs_inner(b) && a.gemm.a == b.gemm.a &&
         a.gemm.m == b.gemm.m && s.scale == t.scale && s.down.format == Format::f32 &&
         !s.down.transposed && s.down.row_stride == t.down.row_stride &&
         static_cast<const float*>(s.down.data) + s.rank == t.down.data;
}

// What the terms of products add to their rows, with the inner products' memory.
class Terms {
 public:
  explicit Terms(std::span<const Product> products) {
    for (size_t first = 0, end = 0; first < products.size(); first = end) {
      for (end = first + 1; end < products.size(); ++end)
        if (!side_by_side(products[end - 1], products[end])) break;
      add(products.subspan(first, end - first));
    }
  }

  const TermOfRows& operator[](size_t i) const { return terms_[i]; }

 private:
  std::vector<TermOfRows> terms_;
  std::vector<std::unique_ptr<float[]>> inners_;

  // Terms that share one inner product.
  void add(std::span<const Product> products) {
    const auto& [g, first] = products[0];
    const float* inner = first.inner;
    int64_t stride = first.inner_stride;
    if (needs_inner(products[0])) {
      stride = 0;
      for (const auto& product : products) stride += product.term.rank;
      inners_.push_back(
          scaled_product(g.a, g.a_stride, first.down, g.m, stride, g.k, first.scale));
      inner = inners_.back().get();
    }
    for (const auto& [gemm, term] : products) {
      terms_.push_back({inner, stride, term.up, term.rank});
      if (inner) inner += term.rank;
    }
  }
};

// The products of one A with quantised weights of one format, in whole numbers.
void multiply_codes(std::span<const Product> products, const Terms& terms) {
  Coded coded(products[0].gemm);
  std::vector<CodeGemm> gemms;
  std::vector<Tile> tiles;
  std::vector<int> owners;  // of the tiles
  for (const auto& [g, term] : products) {
    auto tiling = tiling_for(g, kernels().code_columns);
    gemms.push_back(
        {coded.rows(),
         g.b,
         g.c,
         g.c_stride,
         g.m,
         g.n,
         g.k,
         g.accumulate,
         terms[gemms.size()]});
    if (gemms.back().few_rows()) {
      if (g.accumulate)
        throw std::invalid_argument("[multiply] few rows of x W^T are not added to C");
      tiling.rows = g.m;
    }
    add_tiles(g, tiling, tiles);
    owners.resize(tiles.size(), static_cast<int>(gemms.size()) - 1);
  }
  const auto& table = kernels();
  parallel_for(static_cast<int>(tiles.size()), [&](int i) {
    table.code_tile(gemms[static_cast<size_t>(owners[i])], tiles[i]);
  });
}

bool share_codes(std::span<const Product> products) {
  const auto& first = products[0].gemm;
  for (const auto& [g, term] : products)
    if (!is_quantized(g) || g.m == 0 || g.n == 0 || g.k == 0 || g.a != first.a ||
        g.m != first.m || g.k != first.k || g.b.format != first.b.format ||
        g.b.group_size != first.b.group_size || g.b.transposed != first.b.transposed)
      return false;
  return true;
}

}  // namespace

void multiply(const Gemm& g) {
  if (g.m == 0 || g.n == 0) return;
  if (g.k == 0) {
    if (!g.accumulate) clear(g);
    return;
  }
  if (is_quantized(g)) {
    Product alone{g, {}};
    return multiply_codes({&alone, 1}, Terms({&alone, 1}));
  }
  const auto& table = kernels();
  std::vector<Tile> tiles;
  add_tiles(
      g,
      tiling_for(g, g.m <= table.wide_rows ? table.wide_columns : table.narrow_columns),
      tiles);
  parallel_for(
      static_cast<int>(tiles.size()), [&](int i) { table.gemm_tile(g, tiles[i]); });
}

void multiply(std::span<const Product> products) {
  Terms terms(products);
  if (share_codes(products)) return multiply_codes(products, terms);
  for (size_t i = 0; i < products.size(); ++i) {
    const auto& g = products[i].gemm;
    const auto& [inner, stride, up, rank] = terms[i];
    multiply(g);
    multiply({inner, stride, up, g.c, g.c_stride, g.m, g.n, rank, true});
  }
}

std::unique_ptr<float[]> scaled_product(
    const float* a,
    int64_t a_stride,
    const MatrixB& b,
    int64_t m,
    int64_t n,
    int64_t k,
    float scale) {
  auto product = std::make_unique_for_overwrite<float[]>(m * n);
  multiply({a, a_stride, b, product.get(), n, m, n, k, false});
  for (int64_t i = 0; i < m * n; ++i) product[i] *= scale;
  return product;
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
