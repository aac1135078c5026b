// Panels of B for the GEMM micro-kernel: kc rows of `columns` float32, unpacked from
// whatever B is. Columns past the matrix are 0.

#pragma once

#include "ops/cpu/half_types.h"
#include "ops/cpu/kernel_table.h"

namespace pupil::cpu {
namespace {

/// Where a panel lies in B.
struct Panel {
  int64_t k0, kc;  // rows of B
  int64_t n0, n;   // columns of B; n of the panel's are real
  int64_t width;   // the panel's columns
  float* out;      // [kc, width]
};

template <class T>
const T* typed(const void* p) {
  return static_cast<const T*>(p);
}

inline float scale_at(const void* p, Format format, int64_t i) {
  if (format == Format::f32) return typed<float>(p)[i];
  if (format == Format::f16) return to_float(typed<Half>(p)[i]);
  return to_float(typed<Bf16>(p)[i]);
}

// One element of B, for edges.
template <class V, class T>
struct DenseElement {
  static float at(const MatrixB& b, int64_t k, int64_t n) {
    int64_t row = b.transposed ? n : k, column = b.transposed ? k : n;
    return to_float(typed<T>(b.data)[row * b.row_stride + column]);
  }
};

template <class V, int kBits>
struct CodeElement {
  static float at(const MatrixB& b, int64_t k, int64_t n) {
    int64_t row = b.transposed ? n : k, column = b.transposed ? k : n;
    constexpr int kPerWord = 32 / kBits;
    uint32_t word = typed<uint32_t>(b.data)[row * b.row_stride + column / kPerWord];
    uint32_t code = (word >> (column % kPerWord * kBits)) & ((1u << kBits) - 1);
    int64_t group = row * b.groups_per_row + column / b.group_size;
    float scale = scale_at(b.scales, b.scale_format, group);
    float bias = scale_at(b.biases, b.scale_format, group);
    return V::fma1(static_cast<float>(code), scale, bias);
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

// Scales or biases of kLanes rows from `group` on; at least `count` of out are filled.
template <class V, class S>
void load_scales(
    const MatrixB& b,
    const void* from,
    int64_t row,
    int64_t group,
    int count,
    typename V::Vec* out) {
  int64_t stride = b.groups_per_row;
  const S* p = typed<S>(from) + row * stride + group;
  int g = 0;
  for (; g < count && group + g + 4 <= stride; g += 4)
    V::load_columns4(p + g, stride, out + g);
  for (; g < count; ++g) {
    float lanes[V::kLanes];
    for (int i = 0; i < V::kLanes; ++i) lanes[i] = to_float(p[i * stride + g]);
    out[g] = V::load(lanes);
  }
}

// 32 codes of kLanes rows, unpacked.
template <class V, int kBits>
void unpack_unit(
    const uint32_t* words,
    int64_t stride,
    typename V::Vec scale,
    typename V::Vec bias,
    float* out,
    int64_t width) {
  constexpr int kPerWord = 32 / kBits, kMask = (1 << kBits) - 1;
#pragma GCC unroll 2
  for (int w = 0; w < kBits; w += 4) {
    typename V::Vec v[4];
    V::load_columns4(reinterpret_cast<const float*>(words + w), stride, v);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      auto word = V::as_int(v[i]);
#pragma GCC unroll 8
      for (int j = 0; j < kPerWord; ++j) {
        auto code = V::field(word, j * kBits, kMask);
        V::store(out + ((w + i) * kPerWord + j) * width, V::fma(code, scale, bias));
      }
    }
  }
}

constexpr int kMaxUnits = 16;  // a panel's kc is at most 32 * kMaxUnits

// The same part of the rows that come next. They lie behind each other, so that nearly
// every cache line is named once.
template <class V, int kVecs>
void prefetch_next_panel(const uint32_t* rows, int64_t stride) {
  for (int i = 0; i < kVecs * V::kLanes; ++i)
    V::prefetch(rows + (kVecs * V::kLanes + i) * stride);
}

// Quantised W [N, K], with the groups along K.
template <class V, int kBits, class S>
void pack_codes_transposed(const MatrixB& b, const Panel& p) {
  typename V::Vec scales[kMaxUnits + 4], biases[kMaxUnits + 4];
  int64_t first = p.k0 / b.group_size;
  int groups = static_cast<int>((p.k0 + p.kc - 1) / b.group_size - first + 1);
  int64_t c = 0;
  for (; c + V::kLanes <= p.n; c += V::kLanes) {
    load_scales<V, S>(b, b.scales, p.n0 + c, first, groups, scales);
    load_scales<V, S>(b, b.biases, p.n0 + c, first, groups, biases);
    const uint32_t* rows = typed<uint32_t>(b.data) + (p.n0 + c) * b.row_stride;
    prefetch_next_panel<V, 1>(rows + p.k0 * kBits / 32, b.row_stride);
    for (int64_t k = 0; k < p.kc; k += 32) {
      int64_t g = (p.k0 + k) / b.group_size - first;
      unpack_unit<V, kBits>(
          rows + (p.k0 + k) * kBits / 32,
          b.row_stride,
          scales[g],
          biases[g],
          p.out + k * p.width + c,
          p.width);
    }
  }
  for (int64_t k = 0; k < p.kc; ++k)
    pack_edge<CodeElement<V, kBits>>(b, p, k, c, p.width);
}

// Quantised W [K, N], with the groups along N: a gradient's way through a linear.
template <class V, int kBits, class S>
void pack_codes_rows(const MatrixB& b, const Panel& p) {
  for (int64_t k = 0; k < p.kc; ++k) {
    int64_t row = p.k0 + k, c = 0;
    const uint32_t* words = typed<uint32_t>(b.data) + row * b.row_stride;
    for (; c + V::kLanes <= p.n; c += V::kLanes) {
      int64_t group = row * b.groups_per_row + (p.n0 + c) / b.group_size;
      auto scale = V::set1(to_float(typed<S>(b.scales)[group]));
      auto bias = V::set1(to_float(typed<S>(b.biases)[group]));
      auto code = kBits == 4 ? V::codes4(words, p.n0 + c) : V::codes8(words, p.n0 + c);
      V::store(p.out + k * p.width + c, V::fma(code, scale, bias));
    }
    pack_edge<CodeElement<V, kBits>>(b, p, k, c, p.width);
  }
}

using PackFn = void (*)(const MatrixB&, const Panel&);

template <class V, class T>
PackFn dense_packer(bool transposed) {
  return transposed ? pack_transposed<V, T> : pack_rows<V, T>;
}

template <class V, int kBits, class S>
PackFn code_packer(bool transposed) {
  return transposed ? pack_codes_transposed<V, kBits, S> : pack_codes_rows<V, kBits, S>;
}

template <class V, int kBits>
PackFn code_packer_for(const MatrixB& b) {
  if (b.scale_format == Format::f32) return code_packer<V, kBits, float>(b.transposed);
  if (b.scale_format == Format::f16) return code_packer<V, kBits, Half>(b.transposed);
  return code_packer<V, kBits, Bf16>(b.transposed);
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
      return code_packer_for<V, 4>(b);
    case Format::q8:
      return code_packer_for<V, 8>(b);
  }
  return nullptr;
}

}  // namespace
}  // namespace pupil::cpu
