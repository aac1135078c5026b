// GGUF's super-blocks of 256 weights, the "K" types. Their scales are codes themselves,
// which MLX's affine groups cannot hold: they are unpacked.

#pragma once

#include <cstddef>
#include <span>

#include "formats/gguf.h"

namespace pupil {

/// Writes to `weights` the 256 weights of each super-block of `bytes`, of type q4_k,
/// q5_k or q6_k, as ggml-common.h and ggml-quants.c define them, with f16 d and dmin:
///   q4_k: d, dmin, 12 bytes of scales s and minima m, 128 bytes of q
///         w = (d * s) * q - dmin * m, s and m of 6 bits for each 32 weights
///   q5_k: d, dmin, the same 12 bytes, 32 bytes of fifth bits, 128 bytes of q
///   q6_k: 128 bytes of low fours, 64 of high twos, 16 signed s, d
///         w = (d * s) * (q - 32), s for each 16 weights
/// The products are exact in float32 and the difference is rounded once, so that the
/// values are ggml's on every machine. Throws std::invalid_argument naming the block if
/// d or dmin is not finite, or a weight lies beyond float16.
void unpack_superblocks(
    GgufType type, std::span<const std::byte> bytes, std::span<float> weights);

}  // namespace pupil
