// Grouped-query attention: H query heads share K key heads, H a multiple of K.
// M tokens of all sequences, one after the other; E head width.

#pragma once

#include <vector>

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

/// A run of consecutive tokens, which see one another causally, and before their own
/// all tokens of an earlier segment: completions that branch off one prompt.
struct Segment {
  int length;
  int parent = -1;  // index of a segment without a parent itself; -1: none
};

/// Causal attention within each segment and to its parent. The segments, in order, hold
/// all M tokens. q [M, H, E], k and v [M, K, E] -> [M, H, E]. Gradients to all three.
/// Throws std::invalid_argument where segments and tokens do not fit.
mx::array packed_attention(
    const mx::array& q,
    const mx::array& k,
    const mx::array& v,
    const std::vector<Segment>& segments,
    float scale);

/// The definition, in MLX ops: segments of one parent are padded to one length.
mx::array packed_attention_fallback(
    const mx::array& q,
    const mx::array& k,
    const mx::array& v,
    const std::vector<Segment>& segments,
    float scale);

/// The prompt of a run of consecutive rows of a decode batch.
struct SharedPrefix {
  mx::array k, v;  // [1, K, P, E]
  int num_rows;
};

/// One decode step: row r attends to its prefix and to the first `lengths[r]` positions
/// of its own tail. q [R, H, 1, E], tail_k and tail_v [R, K, capacity, E], the
/// prefixes' rows adding up to R, as many lengths -> [R, H, 1, E]. No gradient.
mx::array decode_attention(
    const mx::array& q,
    const std::vector<SharedPrefix>& prefixes,
    const mx::array& tail_k,
    const mx::array& tail_v,
    const std::vector<int>& lengths,
    float scale);

}  // namespace pupil
