// Products with a quantised weight in whole numbers, as plain memory.
//
// A weight's codes are small whole numbers. Rows of A become whole numbers of 16 bits
// too, with a scale for each group of a row, so that the sum over a group is exact:
//
//   y[m, n] = sum over groups g of  a_scale[m, g] w_scale[n, g] sum(a q) + bias term
//
// An exact sum has no order, so each instruction set and each number of rows adds a
// group as it likes best, and the groups follow one another as float32. The error is
// that of rounding A: 2^-16 of the largest in its group.

#pragma once

#include <stdint.h>

namespace pupil::cpu {

/// How the 16-bit codes of a row lie, so that a vector of a weight's words, masked and
/// shifted, meets the right ones. `pairs`: 16 bits each, for products of two;
/// `bytes`: the high and the low byte apart, for products of four.
enum class CodeOrder : int { natural, pairs4, pairs8, bytes4, bytes8 };

/// Rows as whole numbers: value (m, k) = scales[k / group_size, m] * code (m, k).
/// The last group is filled up with zeros.
struct CodedRows {
  int16_t* codes;  // [M, groups * group_size]
  float* scales;   // [groups, M]; NaN where the group holds a value that is not finite
  float* sums;     // [groups, M]: scale * sum of codes
  int64_t rows, groups;
  int group_size;
  float limit;  // the largest code
  CodeOrder order;

  int64_t stride() const { return groups * group_size; }
  /// Where the scale and sum of row `m` lie.
  int64_t at(int64_t m, int64_t group) const { return group * rows + m; }
};

// The sum of 128 products with 8-bit codes, and of 32 with the gradient's 13-bit ones,
// stays below 2^31.
constexpr float kForwardLimit = 32512;  // 127 * 256: its high byte is below 128
constexpr float kBackwardLimit = 16256;
constexpr float kWeightLimit = 4095;  // of the gradient's weights
constexpr int kBackwardGroup = 32;
constexpr int kLargestGroup = 128;

/// Up to this many rows, weights are unpacked in registers; up to kFewByteRows, a row's
/// codes meet them as bytes where the processor has such products.
constexpr int kFewRows = 8;
constexpr int kFewByteRows = 4;

}  // namespace pupil::cpu
