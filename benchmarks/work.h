// What a computation must do at least, and what bounds how fast it can.

#pragma once

#include <map>

namespace pupil::bench {

/// A rate of this machine: products of one kind, or reading memory.
enum class Limit { f32, bf16, dot16, dot8, read };

/// Of each limit that was measured, operations or bytes a second.
using Rates = std::map<Limit, double>;

/// The least that one call does. A multiply-add counts as two operations; other
/// arithmetic, exponentials among it, is not counted.
struct Work {
  double f32 = 0;    // operations on float32
  double bf16 = 0;   // products of bfloat16, added in float32
  double dot16 = 0;  // products of 16-bit whole numbers
  double bytes = 0;  // inputs and outputs, each once

  double operations() const { return f32 + bf16 + dot16; }
};

}  // namespace pupil::bench
