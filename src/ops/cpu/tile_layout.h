// Where the codes and scales of a quantised B lie: W [N, K] is kept in tiles of 16
// rows, so that a vector's lanes, which are rows of W, lie side by side and a tile is
// read from its first byte to its last.
//
//   words  [N / 16, K * bits / 32, 16] uint32, low bits first
//   scales [N / 16, K / group_size, 16], biases likewise
//
// The last tile is filled up with zeros.

#pragma once

#include "ops/cpu/half_types.h"
#include "ops/cpu/kernel_table.h"

namespace pupil::cpu {
namespace {

template <class T>
const T* typed(const void* p) {
  return static_cast<const T*>(p);
}

template <class V>
typename V::Vec load_floats(const void* p, Format format, int64_t i) {
  if (format == Format::f16) return V::load(typed<Half>(p) + i);
  if (format == Format::bf16) return V::load(typed<Bf16>(p) + i);
  return V::load(typed<float>(p) + i);
}

inline float load_float(const void* p, Format format, int64_t i) {
  if (format == Format::f16) return to_float(typed<Half>(p)[i]);
  if (format == Format::bf16) return to_float(typed<Bf16>(p)[i]);
  return typed<float>(p)[i];
}

/// The scale and bias of kLanes rows of W from `row` on, for group `group`.
template <class V>
struct GroupScales {
  typename V::Vec scale, bias;

  static GroupScales load(const MatrixB& b, int64_t row, int64_t group) {
    int64_t at = tiled_at(row, group, b.groups_per_row);
    return {
        load_floats<V>(b.scales, b.scale_format, at),
        load_floats<V>(b.biases, b.scale_format, at)};
  }
};

}  // namespace
}  // namespace pupil::cpu
