#include "ops/pack_weight.h"

#include <algorithm>

namespace pupil {
namespace {

using Parts = std::vector<mx::array>;  // codes, scales and, if affine, biases

constexpr int kSliceSize = 1 << 18;  // weights

Parts quantized(const mx::array& dense, const Quantization& packing) {
  return mx::quantize(dense, packing.group_size, packing.bits, mode_name(packing.mode));
}

// Each slice depends on the one before it, so that the scheduler starts no two at once.
Parts quantized_in_slices(const mx::array& dense, const Quantization& packing) {
  int rows = dense.shape(0), columns = dense.shape(1);
  int step = std::max(1, kSliceSize / columns);
  std::vector<Parts> all(2);
  for (int first = 0; first < rows; first += step) {
    int last = std::min(first + step, rows);
    auto slice = mx::slice(dense, {first, 0}, {last, columns});
    if (first > 0) slice = mx::depends({slice}, {all[0].back()})[0];
    auto parts = quantized(slice, packing);
    for (size_t i = 0; i < all.size(); ++i) all[i].push_back(parts.at(i));
  }
  return {mx::concatenate(all[0], 0), mx::concatenate(all[1], 0)};
}

// Of the matrices of a stack below each other.
QuantizedWeight packed_stack(const mx::array& dense, const Quantization& packing) {
  auto packed = pack_weight(mx::flatten(dense, 0, -2), packing);
  for (auto* part : {&packed.packed, &packed.scales}) {
    auto shape = dense.shape();
    shape.back() = part->shape(1);
    *part = mx::reshape(*part, shape);
  }
  return packed;
}

}  // namespace

QuantizedWeight pack_weight(const mx::array& dense, const Quantization& packing) {
  bool affine = packing.mode == QuantMode::affine;
  if (!affine && dense.ndim() > 2) return packed_stack(dense, packing);
  auto parts = affine ? quantized(dense, packing) : quantized_in_slices(dense, packing);
  std::optional<mx::array> biases;
  if (affine) biases = parts.at(2);
  return {
      parts.at(0),
      parts.at(1),
      biases,
      packing.group_size,
      packing.bits,
      false,
      0,
      packing.mode};
}

}  // namespace pupil
