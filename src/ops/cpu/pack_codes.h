// Panels of a quantised B, and where its codes and scales lie: W [N, K] is kept in
// tiles of 16 rows, so that a vector's lanes, which are rows of W, lie side by side and
// a tile is read from its first byte to its last.
//
//   words  [N / 16, K * bits / 32, 16] uint32, low bits first
//   scales [N / 16, K / group_size, 16], biases likewise
//
// The last tile is filled up with zeros.

#pragma once

#include "ops/cpu/pack.h"

namespace pupil::cpu {
namespace {

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

// W [N, K] as B [K, N]: kLanes rows of W become kLanes columns.
template <class V, int kBits>
void pack_codes_transposed(const MatrixB& b, const Panel& p) {
  constexpr int kPerWord = 32 / kBits;
  int64_t c = 0;
  for (; c < p.n; c += V::kLanes) {
    GroupScales<V> group{};
    for (int64_t k = 0; k < p.kc; k += kPerWord) {
      if (k == 0 || (p.k0 + k) % b.group_size == 0)
        group = GroupScales<V>::load(b, p.n0 + c, (p.k0 + k) / b.group_size);
      int64_t at = tiled_at(p.n0 + c, (p.k0 + k) / kPerWord, b.row_stride);
      auto word = V::as_int(V::load(typed<float>(b.data) + at));
      float* out = p.out + k * p.width + c;
#pragma GCC unroll 8
      for (int j = 0; j < kPerWord; ++j)
        V::store(
            out + j * p.width,
            V::fma(V::template code<kBits>(word, j), group.scale, group.bias));
    }
  }
  for (; c < p.width; c += V::kLanes)
    for (int64_t k = 0; k < p.kc; ++k) V::store(p.out + k * p.width + c, V::zero());
}

// W [K, N] itself, the groups along N: a gradient's way through a linear.
template <class V, int kBits>
void pack_codes_rows(const MatrixB& b, const Panel& p) {
  constexpr int kPerWord = 32 / kBits;
  for (int64_t k = 0; k < p.kc; ++k) {
    int64_t row = p.k0 + k, c = 0;
    for (; c < p.n; c += V::kLanes) {
      int64_t at = tiled_at(row, (p.n0 + c) / b.group_size, b.groups_per_row);
      auto scale = V::set1(load_float(b.scales, b.scale_format, at));
      auto bias = V::set1(load_float(b.biases, b.scale_format, at));
      const uint32_t* words =
          typed<uint32_t>(b.data) + tiled_at(row, (p.n0 + c) / kPerWord, b.row_stride);
      auto code = V::template row_codes<kBits>(words, kTileRows, (p.n0 + c) % kPerWord);
      V::store(p.out + k * p.width + c, V::fma(code, scale, bias));
    }
    for (; c < p.width; c += V::kLanes) V::store(p.out + k * p.width + c, V::zero());
  }
}

using PackFn = void (*)(const MatrixB&, const Panel&);

template <class V, class T>
PackFn dense_packer(bool transposed) {
  return transposed ? pack_transposed<V, T> : pack_rows<V, T>;
}

template <class V, int kBits>
PackFn code_packer(bool transposed) {
  return transposed ? pack_codes_transposed<V, kBits> : pack_codes_rows<V, kBits>;
}

template <class V>
PackFn packer_for(const MatrixB& b) {
  switch (b.format) {
    case Format::f32:
      return dense_packer<V, float>(b.transposed);
    case Format::f16:
      return dense_packer<V, Half>(b.transposed);
    case Format::bf16:
      return dense_packer<V, Bf16>(b.transposed);
    case Format::q4:
      return code_packer<V, 4>(b.transposed);
    case Format::q8:
      return code_packer<V, 8>(b.transposed);
  }
  return nullptr;
}

}  // namespace
}  // namespace pupil::cpu
