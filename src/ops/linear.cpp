#include "ops/linear.h"

#include <stdexcept>
#include <string>

#include "ops/cpu/arrays.h"
#include "ops/cpu/linear_primitive.h"
#include "ops/cpu/tile_weight.h"
#include "ops/cpu/unpacked_codes.h"
#include "ops/cpu/widened_codes.h"

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
  return w.packed.shape(1) * 32 / w.bits;  // tiled or not
}

// Scales of the affine mode come with biases of their type.
bool fits(const QuantizedWeight& w, const mx::Shape& groups) {
  if (w.scales.shape() != groups) return false;
  if (w.mode != QuantMode::affine) return w.scales.dtype() == mx::uint8 && !w.biases;
  return w.biases && w.biases->shape() == groups &&
         w.biases->dtype() == w.scales.dtype() &&
         mx::issubdtype(w.scales.dtype(), mx::floating);
}

mx::array dequantized(
    const QuantizedWeight& w,
    const mx::array& packed,
    const mx::array& scales,
    const std::optional<mx::array>& biases) {
  return mx::dequantize(
      packed, scales, biases, w.group_size, w.bits, mode_name(w.mode));
}

mx::array in_float32(const mx::array& x) {
  return mx::astype(x, mx::float32);
}

// {x [..., in], A, B} -> {(x A) B}, float32
std::vector<mx::array> low_rank_product(const std::vector<mx::array>& in) {
  return {mx::matmul(mx::matmul(in_float32(in[0]), in[1]), in[2])};
}

// Makes x float32 again: the backward pass keeps it as it came, in half the memory.
std::vector<mx::array> low_rank_gradients(
    const std::vector<mx::array>& in,
    const std::vector<mx::array>& cotangents,
    const std::vector<mx::array>&) {
  auto rows = [](const mx::array& y) { return mx::reshape(y, {-1, y.shape(-1)}); };
  auto x = in_float32(rows(in[0])), dy = rows(cotangents[0]);  // [N, in], [N, out]
  const auto &a = in[1], &b = in[2];
  auto down = mx::matmul(x, a), d_down = mx::matmul(dy, mx::transpose(b));  // [N, r]
  auto dx = mx::astype(mx::matmul(d_down, mx::transpose(a)), in[0].dtype());
  return {
      mx::reshape(dx, in[0].shape()),
      mx::matmul(mx::transpose(x), d_down),
      mx::matmul(mx::transpose(down), dy)};
}

}  // namespace

void check_weight(const QuantizedWeight& w) {
  constexpr int kMostWords = 1 << 24;  // of a row; files may say anything
  if (w.packed.ndim() != 2 || w.packed.dtype() != mx::uint32 ||
      w.packed.shape(1) > kMostWords) {
    throw std::invalid_argument(
        "[quantized weight] expected codes as a matrix of uint32, of at most " +
        std::to_string(kMostWords) + " a row, got another type or shape");
  }
  mx::Shape groups{w.packed.shape(0), inputs_of(w) / w.group_size};
  bool whole =
      w.packed.shape(1) * int64_t{32} % w.bits == 0 && inputs_of(w) % w.group_size == 0;
  if (whole && fits(w, groups)) return;
  throw std::invalid_argument(
      "[quantized weight] scales and biases do not fit the packed weight: expected " +
      std::to_string(groups[0]) + " x " + std::to_string(groups[1]) +
      (w.mode == QuantMode::affine ? " of one float type"
                                   : " scales of uint8 and no biases"));
}

QuantizedWeight as_matrix(QuantizedWeight w) {
  bool is_stack = w.packed.ndim() == 3 && w.scales.ndim() == 3 &&
                  (!w.biases || w.biases->ndim() == 3);
  if (!is_stack) return w;
  w.packed = mx::flatten(w.packed, 0, 1);
  w.scales = mx::flatten(w.scales, 0, 1);
  if (w.biases) w.biases = mx::flatten(*w.biases, 0, 1);
  return w;
}

bool has_cpu_kernel(const QuantizedWeight& w) {
  return cpu::on_cpu() && (w.mode == QuantMode::affine || w.mode == QuantMode::mxfp4);
}

bool is_kept_unpacked(const QuantizedWeight& w) {
  return cpu::on_cpu() && !has_cpu_kernel(w);
}

mx::array unpacked(const QuantizedWeight& w) {
  auto matrix = as_matrix(w);
  check_weight(matrix);
  if (w.packed.ndim() == 3)
    return mx::unflatten(unpacked(matrix), 0, {w.packed.shape(0), w.packed.shape(1)});
  if (cpu::on_cpu() && w.mode != QuantMode::affine) return cpu::unpacked_codes(w);
  return dequantized(w, w.packed, w.scales, w.biases);
}

mx::array linear(const mx::array& x, const mx::array& weight) {
  check_width("linear", x, weight.shape(1));
  if (cpu::on_cpu()) return cpu::dense_product(x, weight, true);
  return mx::matmul(x, mx::transpose(mx::astype(weight, x.dtype())));
}

QuantizedWeight prepared(const QuantizedWeight& w) {
  if (!has_cpu_kernel(w) || w.tiled) return w;
  check_weight(w);
  return cpu::tiled(cpu::widened(w));
}

mx::array quantized_linear(const mx::array& x, const QuantizedWeight& w) {
  check_width("quantized_linear", x, inputs_of(w));
  if (has_cpu_kernel(w)) return cpu::quantized_product(x, prepared(w), true);
  check_weight(w);
  auto y = mx::quantized_matmul(
      x, w.packed, w.scales, w.biases, true, w.group_size, w.bits, mode_name(w.mode));
  return mx::astype(y, x.dtype());
}

mx::array low_rank_term(const mx::array& x, const LowRank& l) {
  auto product = mx::custom_vjp(low_rank_product, low_rank_gradients);
  return l.scale * product({x, l.a, l.b})[0];
}

mx::array linear(const mx::array& x, const mx::array& weight, const LowRank& l) {
  check_width("linear", x, weight.shape(1));
  if (cpu::on_cpu()) return cpu::dense_product(x, weight, l);
  return linear(x, weight) + mx::astype(low_rank_term(x, l), x.dtype());
}

mx::array quantized_linear(
    const mx::array& x, const QuantizedWeight& w, const LowRank& l) {
  check_width("quantized_linear", x, inputs_of(w));
  if (has_cpu_kernel(w)) return cpu::quantized_products(x, {prepared(w)}, {l})[0];
  return quantized_linear(x, w) + mx::astype(low_rank_term(x, l), x.dtype());
}

std::vector<mx::array> quantized_linears(
    const mx::array& x,
    const std::vector<QuantizedWeight>& weights,
    const std::vector<LowRank>& terms) {
  bool as_one = true;
  std::vector<QuantizedWeight> ready;
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto& w = ready.emplace_back(prepared(weights[i]));
    check_width("quantized_linears", x, inputs_of(w));
    as_one = as_one && has_cpu_kernel(w) && w.bits == ready[0].bits &&
             w.group_size == ready[0].group_size && terms[i].scale == terms[0].scale;
  }
  if (as_one && !ready.empty()) return cpu::quantized_products(x, ready, terms);
  std::vector<mx::array> all;
  for (size_t i = 0; i < ready.size(); ++i)
    all.push_back(quantized_linear(x, ready[i], terms[i]));
  return all;
}

mx::array quantized_rows(
    const QuantizedWeight& table, const mx::array& ids, mx::Dtype dtype) {
  if (table.tiled) return cpu::tiled_rows(table, ids, dtype);
  if (ids.size() == 0) {
    auto none = ids.shape();
    none.push_back(inputs_of(table));
    return mx::zeros(none, dtype);
  }
  auto of_ids = [&](const mx::array& all) { return mx::take(all, ids, 0); };
  std::optional<mx::array> biases;
  if (table.biases) biases = of_ids(*table.biases);
  auto rows = dequantized(table, of_ids(table.packed), of_ids(table.scales), biases);
  return mx::astype(rows, dtype);
}

}  // namespace pupil
