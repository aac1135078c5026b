// Attention as MLX operations of the CPU, float32 inside; see ops/attention.h for
// shapes.

#pragma once

#include "ops/attention.h"
#include "ops/cpu/arrays.h"
#include "ops/cpu/attention_types.h"

namespace pupil::cpu {

/// ops/attention.h's branch_attention; with an empty prefix and more keys than queries,
/// its causal_attention. Gradients to all five.
mx::array fused_attention(
    const mx::array& q,
    const mx::array& prefix_k,
    const mx::array& prefix_v,
    const mx::array& k,
    const mx::array& v,
    float scale);

/// The attention of `batches` rows, on all threads.
void run_attention(const Attention& attention, int64_t batches);

mx::array fused_decode(
    const mx::array& q,
    const std::vector<SharedPrefix>& prefixes,
    const mx::array& tail_k,
    const mx::array& tail_v,
    int length,
    float scale);

}  // namespace pupil::cpu
