// A model's layers as the fused decode step takes them.

#pragma once

#include <memory>
#include <vector>

#include "models/decoder.h"
#include "ops/cpu/decode_block.h"

namespace pupil {

using DecodeBlocks = std::vector<std::shared_ptr<const cpu::BlockWeights>>;

/// One for each layer; no tensor is copied. Empty where the layers cannot be fused: off
/// the CPU, for activations that are not float32, a packing without a kernel, DoRA, a
/// block that is not Llama's, or a window of fewer tokens than a row's `most_tokens`.
DecodeBlocks decode_blocks(const Decoder& model, int most_tokens);

}  // namespace pupil
