#include "ops/cpu/weight_matrix.h"

namespace pupil::cpu {
namespace {

MatrixB dense(const mx::array& w, bool transposed) {
  MatrixB b{};
  b.data = w.data<char>();
  b.format = float_format(w, "linear");
  b.transposed = transposed;
  b.row_stride = w.shape(1);
  return b;
}

MatrixB quantized(std::span<const mx::array> w, const WeightFormat& format) {
  MatrixB b{};
  b.data = w[0].data<char>();
  b.format = format.bits == 4 ? Format::q4 : Format::q8;
  b.transposed = format.transposed;
  b.row_stride = w[0].shape(1);
  b.scales = w[1].data<char>();
  b.biases = w[2].data<char>();
  b.scale_format = float_format(w[1], "quantized_linear");
  b.group_size = format.group_size;
  b.groups_per_row = w[1].shape(1);
  return b;
}

}  // namespace

MatrixB matrix_of(std::span<const mx::array> weight, const WeightFormat& format) {
  return format.bits == 0 ? dense(weight[0], format.transposed)
                          : quantized(weight, format);
}

mx::array in_row_order(const mx::array& x) {
  if (x.status() == mx::array::Status::available && x.flags().row_contiguous) return x;
  return mx::contiguous(x, false, current_stream());
}

mx::Shape with_last(mx::Shape shape, int last) {
  shape.back() = last;
  return shape;
}

}  // namespace pupil::cpu
