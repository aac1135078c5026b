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

/// What becomes of the products of queries and keys before their softmax.
struct AttentionRule {
  float scale;    // multiplies them
  int window;     // keys that a token sees, its own the last; 0: all before it
  float softcap;  // then cap * tanh(score / cap), as in Gemma 2; 0: none

  // Not explicit: a scale alone is the usual rule.
  AttentionRule(float scale, int window = 0, float softcap = 0)
      : scale(scale), window(window), softcap(softcap) {}

  /// Whether it only scales, for tokens that see `keys` keys at most.
  bool is_plain(int keys) const {
    return softcap == 0 && (window == 0 || keys <= window);
  }
};

/// Causal attention within each segment and to its parent. The segments, in order, hold
/// all M tokens. q [M, H, E], k and v [M, K, E] -> [M, H, E]. Gradients to all three.
/// A window or a softcap that counts takes MLX's operations, whose scores are computed
/// again for the gradient.
/// Throws std::invalid_argument where segments and tokens do not fit.
mx::array packed_attention(
    const mx::array& q,
    const mx::array& k,
    const mx::array& v,
    const std::vector<Segment>& segments,
    const AttentionRule& rule);

/// The definition, in MLX ops: segments of one parent are padded to one length.
mx::array packed_attention_fallback(
    const mx::array& q,
    const mx::array& k,
    const mx::array& v,
    const std::vector<Segment>& segments,
    const AttentionRule& rule);

/// A sequence that is run some tokens at a time.
struct GrownSequence {
  mx::array k, v;  // [1, K, S, E] of all its tokens so far
  int num_new;     // of them, the last ones
};

/// Causal attention of each sequence's new tokens to all of its tokens; the bits are
/// those of `packed_attention` of whole sequences wherever that takes its kernel. q
/// [M, H, E] of all new tokens, one sequence after the other -> [M, H, E]. No gradient.
/// Throws std::invalid_argument where tokens and sequences do not fit.
mx::array grown_attention(
    const mx::array& q,
    const std::vector<GrownSequence>& sequences,
    const AttentionRule& rule);

/// The definition, in MLX ops.
mx::array grown_attention_fallback(
    const mx::array& q,
    const std::vector<GrownSequence>& sequences,
    const AttentionRule& rule);

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
    const AttentionRule& rule);

}  // namespace pupil
