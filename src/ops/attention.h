// Grouped-query attention: H query heads share K key heads, H a multiple of K.
// B rows, T query tokens, E head width.

#pragma once

#include <vector>

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

/// Causal attention of T new tokens over S keys, the new tokens being the last T of
/// them: query t sees keys 0 .. S - T + t.
/// q [B, H, T, E], k and v [B, K, S, E] -> [B, H, T, E]. Gradients to all three.
mx::array causal_attention(
    const mx::array& q, const mx::array& k, const mx::array& v, float scale);

/// Causal attention of B branches over one shared prefix and their own tokens: row b
/// sees every prefix key and its own keys 0 .. t.
/// q [B, H, T, E], prefix_k and prefix_v [1, K, P, E], k and v [B, K, T, E]
///   -> [B, H, T, E]. Gradients to all five.
mx::array branch_attention(
    const mx::array& q,
    const mx::array& prefix_k,
    const mx::array& prefix_v,
    const mx::array& k,
    const mx::array& v,
    float scale);

/// The prompt of a run of consecutive rows of a decode batch.
struct SharedPrefix {
  mx::array k, v;  // [1, K, P, E]
  int num_rows;
};

/// One decode step: row r attends to its prefix and to the first `length` positions of
/// its own tail. q [R, H, 1, E], tail_k and tail_v [R, K, capacity, E], the prefixes'
/// rows adding up to R -> [R, H, 1, E]. No gradient.
mx::array decode_attention(
    const mx::array& q,
    const std::vector<SharedPrefix>& prefixes,
    const mx::array& tail_k,
    const mx::array& tail_v,
    int length,
    float scale);

}  // namespace pupil
