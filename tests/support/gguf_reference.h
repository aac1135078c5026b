// The weights that GGUF's blocks stand for, by the words of ggml-common.h, one at a
// time.

#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "formats/gguf.h"
#include "formats/gguf_superblocks.h"

namespace pupil::testing {

/// Exact: every float16 is a double. Finite numbers only.
inline double half_value(uint16_t half) {
  int exponent = half >> 10 & 31, fraction = half & 1023;
  double size = exponent == 0 ? std::ldexp(fraction, -24)
                              : std::ldexp(1024 + fraction, exponent - 25);
  return half & 0x8000 ? -size : size;
}

template <class T>
T value_at(std::span<const std::byte> bytes, size_t at) {
  T value;
  std::memcpy(&value, &bytes[at], sizeof(T));
  return value;
}

/// True for blocks with a smallest weight of their own.
inline bool has_min(GgufType type) {
  return type == GgufType::q4_1 || type == GgufType::q5_1;
}

/// The numbers that the weights of a block of 32 share.
struct BlockScales {
  double d, m;

  BlockScales(GgufType type, std::span<const std::byte> block)
      : d(half_value(value_at<uint16_t>(block, 0))),
        m(has_min(type) ? half_value(value_at<uint16_t>(block, 2)) : 0) {}
};

/// Weight i of a block, exact.
inline double block_weight(
    GgufType type, std::span<const std::byte> block, int i, const BlockScales& scales) {
  if (type == GgufType::q8_0) return scales.d * value_at<int8_t>(block, 2 + i);
  size_t start = has_min(type) ? 4 : 2;
  bool has_fifth = type == GgufType::q5_0 || type == GgufType::q5_1;
  int byte = std::to_integer<int>(block[start + (has_fifth ? 4 : 0) + i % 16]);
  int q = i < 16 ? byte & 15 : byte >> 4;
  if (has_fifth) q += 16 * (value_at<uint32_t>(block, start) >> i & 1);
  if (has_min(type)) return scales.d * q + scales.m;
  return scales.d * (q - (has_fifth ? 16 : 8));
}

/// All weights of a tensor's bytes, rounded to float once. Those of super-blocks are
/// ours, which gguf_superblocks_test.cpp holds to the gguf package's.
inline std::vector<float> gguf_weights(
    GgufType type, std::span<const std::byte> bytes) {
  auto [block_size, block_bytes] = gguf_layout(type);
  std::vector<float> weights;
  if (block_size == 256) {
    weights.resize(bytes.size() / block_bytes * block_size);
    unpack_superblocks(type, bytes, weights);
    return weights;
  }
  weights.reserve(bytes.size() / block_bytes * block_size);
  for (size_t at = 0; at < bytes.size(); at += block_bytes) {
    auto block = bytes.subspan(at, block_bytes);
    if (type == GgufType::f32) {
      weights.push_back(value_at<float>(block, 0));
    } else if (type == GgufType::f16) {
      weights.push_back(static_cast<float>(half_value(value_at<uint16_t>(block, 0))));
    } else if (type == GgufType::bf16) {
      uint32_t bits = uint32_t{value_at<uint16_t>(block, 0)} << 16;
      weights.push_back(std::bit_cast<float>(bits));
    } else {
      BlockScales scales(type, block);
      for (int i = 0; i < block_size; ++i) {
        weights.push_back(static_cast<float>(block_weight(type, block, i, scales)));
      }
    }
  }
  return weights;
}

}  // namespace pupil::testing
