// Between float32 and the 16-bit floats.

#pragma once

#include "ops/cpu/half_types.h"
#include "ops/cpu/kernel_table.h"

namespace pupil::cpu {
namespace {

template <class V, class T>
void widen_from(const T* from, float* to, int64_t n) {
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) V::store(to + i, V::load(from + i));
  for (; i < n; ++i) to[i] = to_float(from[i]);
}

template <class V>
void widen(const void* from, Format format, float* to, int64_t n) {
  if (format == Format::f32) widen_from<V>(static_cast<const float*>(from), to, n);
  if (format == Format::f16) widen_from<V>(static_cast<const Half*>(from), to, n);
  if (format == Format::bf16) widen_from<V>(static_cast<const Bf16*>(from), to, n);
}

template <class V>
void narrow_to_half(const float* from, Half* to, int64_t n) {
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) V::store(to + i, V::load(from + i));
  for (; i < n; ++i) to[i] = to_half(from[i]);
}

template <class V>
void narrow(const float* from, Format format, void* to, int64_t n) {
  if (format == Format::f32) widen_from<V>(from, static_cast<float*>(to), n);
  if (format == Format::f16) narrow_to_half<V>(from, static_cast<Half*>(to), n);
  if (format == Format::bf16)
    for (int64_t i = 0; i < n; ++i) static_cast<Bf16*>(to)[i] = to_bf16(from[i]);
}

}  // namespace
}  // namespace pupil::cpu
