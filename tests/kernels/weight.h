// A quantised weight of random codes, as the kernels read it.

#pragma once

#include <cstdint>
#include <vector>

#include "kernels/numbers.h"

namespace pupil::kernel_cases {

/// W [out, in] in tiles, and as numbers.
struct Weight {
  int64_t out, in;
  int bits, group;
  std::vector<int> codes;  // [out, in]
  std::vector<uint32_t> words;
  FormatValues scales, biases;  // as they lie in tiles

  Weight(
      Numbers& numbers,
      int64_t rows,
      int64_t width,
      int bit_count,
      int size,
      cpu::Format f)
      : out(rows),
        in(width),
        bits(bit_count),
        group(size),
        words(padded() * in * bits / 32),
        scales(numbers, padded() * in / group, f),
        biases(numbers, padded() * in / group, f) {
    int64_t per_word = 32 / bits;
    for (int64_t i = 0; i < out * in; ++i) {
      uint32_t code = numbers.bits() >> (32 - bits);
      codes.push_back(static_cast<int>(code));
      int64_t n = i / in, k = i % in;
      words[cpu::tiled_at(n, k / per_word, in / per_word)] |= code
                                                              << (k % per_word * bits);
    }
  }

  int64_t padded() const {
    return (out + cpu::kTileRows - 1) / cpu::kTileRows * cpu::kTileRows;
  }
  int64_t at(int64_t n, int64_t k) const {
    return cpu::tiled_at(n, k / group, in / group);
  }
  double scale(int64_t n, int64_t k) const { return scales.numbers[at(n, k)]; }
  double bias(int64_t n, int64_t k) const { return biases.numbers[at(n, k)]; }
  int code(int64_t n, int64_t k) const { return codes[n * in + k]; }
  double value(int64_t n, int64_t k) const {
    return code(n, k) * scale(n, k) + bias(n, k);
  }

  cpu::MatrixB matrix(bool transposed, cpu::Format format) const {
    cpu::MatrixB b{};
    b.data = words.data();
    b.format = bits == 4 ? cpu::Format::q4 : cpu::Format::q8;
    b.transposed = transposed;
    b.row_stride = in * bits / 32;
    b.scales = scales.data();
    b.biases = biases.data();
    b.scale_format = format;
    b.group_size = group;
    b.groups_per_row = in / group;
    return b;
  }
};

}  // namespace pupil::kernel_cases
