// GGUF's blocks of 32 weights as MLX's affine quantisation, without loss: both are
// w = scale * q + bias over 32 weights of a row.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "formats/gguf.h"

namespace pupil {

/// A matrix in MLX's affine mode with groups of 32. q is unsigned, packed into 32-bit
/// words one behind the other, across words too, the first weight in the lowest bits.
struct AffineBlocks {
  int bits;                      // 4, 5 or 8
  std::vector<uint32_t> packed;  // [blocks * bits]
  std::vector<uint16_t> scales;  // [blocks] float16 bits
  std::vector<uint16_t> biases;  // [blocks] float16 bits
};

/// True for the types of more than one weight to a block.
bool is_quantized(GgufType type);

/// True for the types that `affine_blocks` takes: those of 32 weights to a block.
bool has_affine_blocks(GgufType type);

/// The blocks of `bytes`, a whole number of them:
///   Q4_1, Q5_1: q, scale d, bias m
///   Q4_0: q, d, -8 d     Q5_0: q, d, -16 d     Q8_0: q + 128, d, -128 d
/// Throws std::invalid_argument if a scale is not finite or its bias exceeds float16.
AffineBlocks affine_blocks(GgufType type, std::span<const std::byte> bytes);

struct GgufBlocks {
  GgufType type;
  std::vector<std::byte> bytes;
};

/// The way back: groups of 32 of 4, 5 or 8 bits as Q4_0, Q5_0 or Q8_0 where each bias
/// is what `affine_blocks` makes of its scale, else as Q4_1 or Q5_1. Nothing where no
/// type holds the numbers exactly: another width, 8 bits with other biases, scales that
/// are not finite.
std::optional<GgufBlocks> gguf_blocks(const AffineBlocks& blocks);

/// Undoes the row order that GGUF's Llama files give q and k for interleaved rotary
/// embeddings: in each of `heads`, row 2 i + j becomes row j * rows / 2 + i again.
std::vector<std::byte> unpermuted_rows(
    std::span<const std::byte> bytes, int64_t rows, int64_t heads);

/// Gives rows that order.
std::vector<std::byte> permuted_rows(
    std::span<const std::byte> bytes, int64_t rows, int64_t heads);

}  // namespace pupil
