// Attention as MLX operations of the CPU, float32 inside; see ops/attention.h for
// shapes.

#pragma once

#include "ops/attention.h"
#include "ops/cpu/arrays.h"

namespace pupil::cpu {

/// ops/attention.h's packed_attention, segments checked.
mx::array fused_attention(
    const mx::array& q,
    const mx::array& k,
    const mx::array& v,
    const std::vector<Segment>& segments,
    float scale);

mx::array fused_grown(
    const mx::array& q, const std::vector<GrownSequence>& sequences, float scale);

mx::array fused_decode(
    const mx::array& q,
    const std::vector<SharedPrefix>& prefixes,
    const mx::array& tail_k,
    const mx::array& tail_v,
    const std::vector<int>& lengths,
    float scale);

}  // namespace pupil::cpu
