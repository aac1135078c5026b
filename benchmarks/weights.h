// Quantised weights for the cases.

#pragma once

#include "ops/linear.h"

namespace pupil::bench {

/// A weight in groups of 32, its scales float16, in the standard layout; the same for
/// the same arguments.
QuantizedWeight plain_weight(int in, int out, int bits, int copy = 0);

/// The same weight as the kernels want it. Kept, so that all cases share it.
const QuantizedWeight& kept_weight(int in, int out, int bits, int copy = 0);

/// Bytes of such a weight.
double weight_bytes(int in, int out, int bits);

/// w as float32 [out, in].
mx::array dequantized(const QuantizedWeight& w);

}  // namespace pupil::bench
