// Panels of B for the GEMM micro-kernel: kc rows of `columns` float32, unpacked from a
// dense B. Columns past the matrix are 0.

#pragma once

#include "ops/cpu/tile_layout.h"

namespace pupil::cpu {
namespace {

/// Where a panel lies in B.
struct Panel {
  int64_t k0, kc;  // rows of B
  int64_t n0, n;   // columns of B; n of the panel's are real
  int64_t width;   // the panel's columns
  float* out;      // [kc, width]
};

// One element of B, for edges.
template <class V, class T>
struct DenseElement {
  static float at(const MatrixB& b, int64_t k, int64_t n) {
    int64_t row = b.transposed ? n : k, column = b.transposed ? k : n;
    return to_float(typed<T>(b.data)[row * b.row_stride + column]);
  }
};

template <class Element>
void pack_edge(
    const MatrixB& b, const Panel& p, int64_t k, int64_t column, int64_t end) {
  for (int64_t c = column; c < end; ++c)
    p.out[k * p.width + c] = c < p.n ? Element::at(b, p.k0 + k, p.n0 + c) : 0.0f;
}

// B [K, N] row by row.
template <class V, class T>
void pack_rows(const MatrixB& b, const Panel& p) {
  for (int64_t k = 0; k < p.kc; ++k) {
    const T* row = typed<T>(b.data) + (p.k0 + k) * b.row_stride + p.n0;
    int64_t c = 0;
    for (; c + V::kLanes <= p.n; c += V::kLanes)
      V::store(p.out + k * p.width + c, V::load(row + c));
    pack_edge<DenseElement<V, T>>(b, p, k, c, p.width);
  }
}

// W [N, K]: kLanes rows of W become kLanes columns.
template <class V, class T>
void pack_transposed(const MatrixB& b, const Panel& p) {
  int64_t c = 0;
  for (; c + V::kLanes <= p.n; c += V::kLanes) {
    const T* rows = typed<T>(b.data) + (p.n0 + c) * b.row_stride + p.k0;
    int64_t k = 0;
    for (; k + 4 <= p.kc; k += 4) {
      typename V::Vec v[4];
      V::load_columns4(rows + k, b.row_stride, v);
      for (int j = 0; j < 4; ++j) V::store(p.out + (k + j) * p.width + c, v[j]);
    }
    for (; k < p.kc; ++k) pack_edge<DenseElement<V, T>>(b, p, k, c, c + V::kLanes);
  }
  for (int64_t k = 0; k < p.kc; ++k) pack_edge<DenseElement<V, T>>(b, p, k, c, p.width);
}

using PackFn = void (*)(const MatrixB&, const Panel&);

template <class V, class T>
PackFn packer_of(bool transposed) {
  return transposed ? pack_transposed<V, T> : pack_rows<V, T>;
}

template <class V>
PackFn packer_for(const MatrixB& b) {
  if (b.format == Format::f16) return packer_of<V, Half>(b.transposed);
  if (b.format == Format::bf16) return packer_of<V, Bf16>(b.transposed);
  return packer_of<V, float>(b.transposed);
}

}  // namespace
}  // namespace pupil::cpu
