// Memory that is asked for while something else is computed. A panel's weights lie in
// short runs, which the processor's own prefetcher begins to follow when they are over.

#pragma once

#include <stdint.h>

#include "ops/cpu/kernel_table.h"

namespace pupil::cpu {
namespace {

constexpr int64_t kLineBytes = 64;

/// The lines of some ranges, asked for a few at a time.
class LinesAhead {
 public:
  void add(const void* data, int64_t bytes) {
    const auto* end = static_cast<const char*>(data) + bytes;
    for (const auto* p = static_cast<const char*>(data); p < end; p += kLineBytes)
      if (count_ < kMost) lines_[count_++] = p;
  }

  /// Asks for the next ones.
  void fetch(int64_t lines) {
    for (; lines > 0 && next_ < count_; --lines) __builtin_prefetch(lines_[next_++]);
  }

  int64_t left() const { return count_ - next_; }

 private:
  static constexpr int kMost = 288;  // of a panel of 8-bit words and their scales
  const char* lines_[kMost];
  int count_ = 0, next_ = 0;
};

// Rows [row, row + rows) of W, columns [k, k + columns).
inline void add_weights(
    const MatrixB& b,
    int64_t row,
    int64_t rows,
    int64_t k,
    int64_t columns,
    LinesAhead& ahead) {
  int64_t per_word = b.format == Format::q4 ? 8 : 4;
  int64_t scale_bytes = b.scale_format == Format::f32 ? 4 : 2;
  auto add = [&](const void* data, int64_t at, int64_t count, int64_t bytes) {
    ahead.add(
        static_cast<const char*>(data) + at * bytes,
        (count > 0 ? count : 1) * kTileRows * bytes);
  };
  for (int64_t r = row; r < row + rows; r += kTileRows) {
    int64_t group = tiled_at(r, k / b.group_size, b.groups_per_row);
    add(b.data, tiled_at(r, k / per_word, b.row_stride), columns / per_word, 4);
    add(b.scales, group, columns / b.group_size, scale_bytes);
    add(b.biases, group, columns / b.group_size, scale_bytes);
  }
}

}  // namespace
}  // namespace pupil::cpu
