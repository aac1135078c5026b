#include "ops/linear.h"

#include <stdexcept>
#include <string>

#include "ops/cpu/arrays.h"
#include "ops/cpu/linear_primitive.h"

namespace pupil {
namespace {

[[noreturn]] void wrong_width(const char* where, int expected, const mx::array& x) {
  throw std::invalid_argument(
      "[" + std::string(where) + "] expected an input of width " +
      std::to_string(expected) + ", got " +
      (x.ndim() == 0 ? "a scalar" : std::to_string(x.shape(-1))));
}

void check_width(const char* where, const mx::array& x, int expected) {
  if (x.ndim() == 0 || x.shape(-1) != expected) wrong_width(where, expected, x);
}

int inputs_of(const QuantizedWeight& w) {
  return w.packed.shape(1) * 32 / w.bits;
}

void check_weight(const QuantizedWeight& w) {
  mx::Shape groups{w.packed.shape(0), inputs_of(w) / w.group_size};
  if (w.scales.shape() == groups && w.biases.shape() == groups &&
      w.scales.dtype() == w.biases.dtype())
    return;
  throw std::invalid_argument(
      "[quantized_linear] scales and biases do not fit the packed weight: expected " +
      std::to_string(groups[0]) + " x " + std::to_string(groups[1]) + " of one type");
}

// What the kernels unpack; every group size that MLX has is a multiple of 32.
bool has_kernel(const QuantizedWeight& w) {
  return cpu::on_cpu() && (w.bits == 4 || w.bits == 8) && w.group_size % 32 == 0;
}

}  // namespace

mx::array linear(const mx::array& x, const mx::array& weight) {
  check_width("linear", x, weight.shape(1));
  if (cpu::on_cpu()) return cpu::dense_product(x, weight, true);
  return mx::matmul(x, mx::transpose(mx::astype(weight, x.dtype())));
}

mx::array quantized_linear(const mx::array& x, const QuantizedWeight& w) {
  check_width("quantized_linear", x, inputs_of(w));
  check_weight(w);
  if (has_kernel(w)) return cpu::quantized_product(x, w, true);
  auto y =
      mx::quantized_matmul(x, w.packed, w.scales, w.biases, true, w.group_size, w.bits);
  return mx::astype(y, x.dtype());
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
