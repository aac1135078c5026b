// Rows of float32 as whole numbers of 16 bits.

#pragma once

#include "ops/cpu/code_types.h"

namespace pupil::cpu {
namespace {

using Codes8 = int16_t __attribute__((vector_size(16)));
using Bytes16 = int8_t __attribute__((vector_size(16)));

// code = 256 high + low, both signed: the code's low byte, and the rest in the high
// one.
inline Codes8 split_bytes(Codes8 v) {
  return ((v + 128) & static_cast<int16_t>(0xff00)) | (v & static_cast<int16_t>(0xff));
}

// Eight codes in the order in which weights are unpacked (code_panel.h).
template <CodeOrder kOrder>
Bytes16 in_order(Codes8 v) {
  auto raw = reinterpret_cast<Bytes16>(v);
  auto split = reinterpret_cast<Bytes16>(split_bytes(v));
  if constexpr (kOrder == CodeOrder::pairs4)
    return __builtin_shufflevector(
        raw, raw, 0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
  if constexpr (kOrder == CodeOrder::pairs8)
    return __builtin_shufflevector(
        raw, raw, 0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
  if constexpr (kOrder == CodeOrder::bytes4)
    return __builtin_shufflevector(
        split, split, 1, 5, 9, 13, 0, 4, 8, 12, 3, 7, 11, 15, 2, 6, 10, 14);
  if constexpr (kOrder == CodeOrder::bytes8)
    return __builtin_shufflevector(
        split, split, 1, 3, 5, 7, 0, 2, 4, 6, 9, 11, 13, 15, 8, 10, 12, 14);
  return raw;
}

// One group. Sums of codes are whole and below 2^24: exact in any order. A NaN stays in
// the sum, and an infinity becomes one.
template <class V, CodeOrder kOrder>
void code_group(
    const float* x, int n, float limit, int16_t* codes, float* scale, float* sum) {
  typename V::Vec largest = V::zero(), total = V::zero();
  for (int i = 0; i < n; i += V::kLanes) {
    auto v = V::load(x + i);
    largest = V::max(V::max(v, V::sub(V::zero(), v)), largest);
  }
  float top = V::max_lane(largest);
  auto inverse = V::set1(top > 1e-30f ? limit / top : 0.0f);
  for (int i = 0; i < n; i += V::kLanes) {
    auto v = V::round(V::mul(V::load(x + i), inverse));
    total = V::add(total, v);
    V::store_codes(codes + i, v);
  }
  for (int i = 0; i < n; i += 8) {
    Codes8 v;
    __builtin_memcpy(&v, codes + i, sizeof v);
    auto ordered = in_order<kOrder>(v);
    __builtin_memcpy(codes + i, &ordered, sizeof ordered);
  }
  float codes_sum = V::sum_lanes(total);
  *scale = codes_sum == codes_sum ? top / limit : codes_sum;
  *sum = codes_sum * *scale;
}

// Row `m` of `rows` from x [k].
template <class V, CodeOrder kOrder>
void code_row(const float* x, int64_t k, const CodedRows& rows, int64_t m) {
  int size = rows.group_size;
  auto code = [&](const float* from, int64_t g) {
    int64_t at = rows.at(m, g);
    int16_t* codes = rows.codes + m * rows.stride() + g * size;
    code_group<V, kOrder>(
        from, size, rows.limit, codes, rows.scales + at, rows.sums + at);
  };
  int64_t whole = k / size;
  for (int64_t g = 0; g < whole; ++g) code(x + g * size, g);
  if (whole == rows.groups) return;
  float filled[kLargestGroup] = {};
  for (int64_t i = whole * size; i < k; ++i) filled[i - whole * size] = x[i];
  code(filled, whole);
}

template <class V>
void code_row(const float* x, int64_t k, const CodedRows& rows, int64_t m) {
  switch (rows.order) {
    case CodeOrder::natural:
      return code_row<V, CodeOrder::natural>(x, k, rows, m);
    case CodeOrder::pairs4:
      return code_row<V, CodeOrder::pairs4>(x, k, rows, m);
    case CodeOrder::pairs8:
      return code_row<V, CodeOrder::pairs8>(x, k, rows, m);
    case CodeOrder::bytes4:
      return code_row<V, CodeOrder::bytes4>(x, k, rows, m);
    case CodeOrder::bytes8:
      return code_row<V, CodeOrder::bytes8>(x, k, rows, m);
  }
}

}  // namespace
}  // namespace pupil::cpu
