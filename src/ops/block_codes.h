// Arrays in 8 bits: blocks of 256 numbers in row order, each block with its largest
// magnitude and its numbers on a scale that is dense near 0, as the blocks of
// "8-bit Optimizers via Block-wise Quantization" (arXiv:2110.02861). Their scale is a
// table, ours a fourth power, so that plain operations of any device compute it.

#pragma once

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

inline constexpr int kCodeBlock = 256;

struct BlockCodes {
  mx::array codes;   // [blocks * 256] uint8; past the array's end those of 0
  mx::array scales;  // [blocks] float32, the largest magnitude of each block
};

/// x = s sign(q) (|q| / 127)^4, q from -127 to 127; the code is q + 128. Off by 1.6% of
/// the block's largest magnitude at most; of a number from a thousandth of that
/// magnitude on, by 9% of itself.
BlockCodes signed_codes(const mx::array& x);
mx::array from_signed_codes(const BlockCodes& packed, const mx::Shape& shape);

/// Of x >= 0: x = s (q / 256)^4, q from 1 to 256; the code is q - 1. Off by 0.8% of the
/// block's largest at most; from a thousandth of it on, by 4.5% of itself. 0 becomes
/// 2.3e-10 of it, so that nothing that is divided by a root explodes.
BlockCodes unsigned_codes(const mx::array& x);
mx::array from_unsigned_codes(const BlockCodes& packed, const mx::Shape& shape);

/// The codes of an array of zeros.
BlockCodes zero_codes(int64_t size, bool is_signed);

}  // namespace pupil
