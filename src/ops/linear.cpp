#include "ops/linear.h"

namespace pupil {

mx::array linear(const mx::array& x, const mx::array& weight) {
  return mx::matmul(x, mx::transpose(mx::astype(weight, x.dtype())));
}

mx::array quantized_linear(const mx::array& x, const QuantizedWeight& w) {
  auto dense = mx::dequantize(w.packed, w.scales, w.biases, w.group_size, w.bits);
  return linear(x, dense);
}

mx::array quantized_rows(
    const QuantizedWeight& table, const mx::array& ids, mx::Dtype dtype) {
  auto rows = mx::dequantize(
      mx::take(table.packed, ids, 0),
      mx::take(table.scales, ids, 0),
      mx::take(table.biases, ids, 0),
      table.group_size,
      table.bits);
  return mx::astype(rows, dtype);
}

}  // namespace pupil
