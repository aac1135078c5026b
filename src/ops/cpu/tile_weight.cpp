#include "ops/cpu/tile_weight.h"

#include <cmath>
#include <cstring>

#include "ops/cpu/arrays.h"
#include "ops/cpu/cpu_features.h"
#include "ops/cpu/thread_pool.h"
#include "ops/cpu/weight_matrix.h"

namespace pupil::cpu {
namespace {

// 16 rows of `per_row` elements side by side, element by element.
template <class T>
void interleave(const T* rows, int64_t count, int64_t per_row, T* tile) {
  for (int64_t i = 0; i < per_row; ++i)
    for (int64_t lane = 0; lane < kTileRows; ++lane)
      tile[i * kTileRows + lane] = lane < count ? rows[lane * per_row + i] : T{};
}

template <class T>
void fill_tiles(const mx::array& from, mx::array& to) {
  int64_t rows = from.shape(0), per_row = from.shape(1);
  parallel_for(to.shape(0), [&](int t) {
    int64_t first = t * kTileRows;
    interleave(
        from.data<T>() + first * per_row,
        std::min<int64_t>(kTileRows, rows - first),
        per_row,
        to.data<T>() + first * per_row);
  });
}

// [out, n] -> [ceil(out / 16), n, 16]
mx::array in_tiles(const mx::array& array) {
  auto from = mx::contiguous(array);
  from.eval();
  int tiles = (from.shape(0) + kTileRows - 1) / kTileRows;
  mx::Shape shape{tiles, from.shape(1), kTileRows};
  auto bytes = static_cast<size_t>(tiles) * from.shape(1) * kTileRows * from.itemsize();
  mx::array to(mx::allocator::malloc(bytes), shape, from.dtype());
  if (from.itemsize() == 4)
    fill_tiles<uint32_t>(from, to);
  else
    fill_tiles<uint16_t>(from, to);
  return to;
}

/// Inputs: ids, packed, scales, biases.
class TiledRows : public CpuPrimitive {
 public:
  TiledRows(mx::Stream stream, const WeightFormat& format, int rows)
      : CpuPrimitive(stream), format_(format), rows_(rows) {}

  const char* name() const override { return "TiledRows"; }

  void eval_cpu(
      const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    dispatch(
        inputs, outputs, [format = format_, rows = rows_](const auto& in, auto& out) {
          FloatOutput result(out[0]);
          auto table = matrix_of(std::span(in).subspan(1), format);
          const int* ids = in[0].template data<int>();
          int64_t width = out[0].shape(-1);
          parallel_for(static_cast<int>(in[0].size()), [&](int i) {
            float* row = result.data() + i * width;
            if (ids[i] >= 0 && ids[i] < rows)
              kernels().unpack_row(table, ids[i], width, row);
            else
              std::fill(row, row + width, NAN);
          });
          result.finish();
        });
  }

 private:
  WeightFormat format_;
  int rows_;
};

}  // namespace

QuantizedWeight tiled(const QuantizedWeight& w) {
  if (w.tiled) return w;
  return {
      in_tiles(w.packed),
      in_tiles(w.scales),
      in_tiles(*w.biases),
      w.group_size,
      w.bits,
      true,
      w.packed.shape(0)};
}

mx::array tiled_rows(const QuantizedWeight& t, const mx::array& ids, mx::Dtype dtype) {
  auto shape = ids.shape();
  shape.push_back(t.packed.shape(1) * 32 / t.bits);
  WeightFormat format{t.group_size, t.bits, false};
  return mx::array(
      std::move(shape),
      dtype,
      std::make_shared<TiledRows>(current_stream(), format, t.out),
      {mx::contiguous(mx::astype(ids, mx::int32)), t.packed, t.scales, *t.biases});
}

}  // namespace pupil::cpu
