// Attention by its definition, in MLX operations: what the kernels do not do, and what
// they are checked against.

#pragma once

#include "ops/attention.h"

namespace pupil {

/// Causal attention whose queries are the last T of S tokens. q [B, H, T, E],
/// k and v [B, K, S, E], H a multiple of K -> [B, H, T, E], in q's type. Scores that
/// are capped or windowed are float32, and not kept for the backward pass.
/// `counts`: row b has only its first counts[b] keys, T is 1; empty: all of them.
mx::array masked_attention(
    const mx::array& q,
    const mx::array& k,
    const mx::array& v,
    const AttentionRule& rule,
    const std::vector<int>& counts = {});

}  // namespace pupil
