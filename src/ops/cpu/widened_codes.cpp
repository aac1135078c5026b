#include "ops/cpu/widened_codes.h"

#include <array>
#include <cmath>
#include <utility>

#include "ops/cpu/thread_pool.h"

namespace pupil::cpu {
namespace {

// The new code of each old one.
using CodeTable = std::array<uint32_t, 64>;

constexpr int kZeroCode = 12;  // of mxfp4 in 8 bits

constexpr CodeTable same_codes() {
  CodeTable table{};
  for (uint32_t i = 0; i < table.size(); ++i) table[i] = i;
  return table;
}

// e2m1: the highest bit is the sign of 0, 0.5, 1, 1.5, 2, 3, 4, 6.
constexpr CodeTable mxfp4_codes() {
  constexpr int kHalves[] = {0, 1, 2, 3, 4, 6, 8, 12};
  CodeTable table{};
  for (int i = 0; i < 8; ++i) {
    table[i] = kZeroCode + kHalves[i];
    table[i + 8] = kZeroCode - kHalves[i];
  }
  return table;
}

// A row's codes lie one after the other from the lowest bit on, across words.
void widen_row(
    const uint32_t* from,
    int64_t count,
    int bits,
    const CodeTable& table,
    int wide,
    uint32_t* to) {
  uint64_t window = 0;
  int held = 0, per_word = 32 / wide;
  for (int64_t i = 0; i < count; i += per_word) {
    uint32_t word = 0;
    for (int j = 0; j < per_word; ++j) {
      if (held < bits) {
        window |= uint64_t{*from++} << held;
        held += 32;
      }
      word |= table[window & ((1u << bits) - 1)] << (j * wide);
      window >>= bits;
      held -= bits;
    }
    *to++ = word;
  }
}

mx::array uninitialised(const mx::Shape& shape, mx::Dtype dtype) {
  size_t bytes = mx::size_of(dtype);
  for (int side : shape) bytes *= static_cast<size_t>(side);
  return mx::array(mx::allocator::malloc(bytes), shape, dtype);
}

mx::array in_memory(const mx::array& array) {
  auto whole = mx::contiguous(array);
  whole.eval();
  return whole;
}

mx::array widened_codes(const QuantizedWeight& w, const CodeTable& table, int wide) {
  auto from = in_memory(w.packed);
  int rows = from.shape(0), words = from.shape(1);
  int64_t inputs = int64_t{words} * 32 / w.bits;
  int64_t wide_words = inputs * wide / 32;
  auto to = uninitialised({rows, static_cast<int>(wide_words)}, mx::uint32);
  parallel_for(rows, [&](int row) {
    widen_row(
        from.data<uint32_t>() + int64_t{row} * words,
        inputs,
        w.bits,
        table,
        wide,
        to.data<uint32_t>() + row * wide_words);
  });
  return to;
}

// e8m0: 2^(code - 127), 255 is no number.
float half_scale(uint8_t code) {
  return code == 255 ? NAN : std::ldexp(1.0f, code - 128);
}

std::pair<mx::array, mx::array> mxfp4_scales(const mx::array& codes) {
  auto from = in_memory(codes);
  auto scales = uninitialised(from.shape(), mx::bfloat16);
  auto biases = uninitialised(from.shape(), mx::bfloat16);
  for (size_t i = 0; i < from.size(); ++i) {
    float half = half_scale(from.data<uint8_t>()[i]);
    scales.data<mx::bfloat16_t>()[i] = mx::bfloat16_t(half);
    biases.data<mx::bfloat16_t>()[i] = mx::bfloat16_t(-kZeroCode * half);
  }
  return {scales, biases};
}

}  // namespace

QuantizedWeight widened(const QuantizedWeight& w) {
  if (w.mode == QuantMode::mxfp4) {
    auto [scales, biases] = mxfp4_scales(w.scales);
    static constexpr auto kCodes = mxfp4_codes();
    return {widened_codes(w, kCodes, 8), scales, biases, w.group_size, 8};
  }
  int wide = w.bits <= 4 ? 4 : 8;
  if (wide == w.bits) return w;
  static constexpr auto kCodes = same_codes();
  return {widened_codes(w, kCodes, wide), w.scales, w.biases, w.group_size, wide};
}

}  // namespace pupil::cpu
