// How the flat tokens of a forward group into sequences: the attention functions for
// whole sequences, and for completions that branch off one prompt.

#pragma once

#include <span>

#include "models/decoder.h"
#include "ops/attention.h"

namespace pupil {

/// Keys and values of one sequence, by layer, each [1, K, P, E]. Copies share them.
struct PrefixCache {
  std::vector<mx::array> k, v;  // none before its first token

  int length() const { return k.empty() ? 0 : k[0].shape(2); }
};

/// The next tokens of a sequence of which `cache` holds those before them.
struct NextTokens {
  std::span<const int> tokens;  // one at least
  PrefixCache* cache;
};

/// How scores of a layer become weights.
AttentionRule attention_rule(const DecoderConfig& config, int layer);

/// Bytes of one token's keys and values, of all layers.
int64_t cache_bytes_per_token(const Decoder& model);

/// Hidden states of whole sequences of equal length. tokens [B, T] int32 -> [B, T, D].
/// Right padding changes nothing at the tokens before it.
mx::array sequence_hidden(const Decoder& model, const mx::array& tokens);

/// Runs the next tokens of some sequences in one forward and adds their keys and values
/// to the caches. Returns the hidden state of the last token of each, [sequences, D].
/// On a CPU the bits do not depend on how a sequence was cut (beyond a window: to
/// rounding).
mx::array prefill(const Decoder& model, const std::vector<NextTokens>& sequences);

/// The states that predict the completion tokens of a group, row after row: the first
/// of each comes from the prompt's last token. The prompt is computed once, every
/// branch attends to it, and padding is not computed. prompt [P], completions [G, T]
/// int32, right padded, lengths [G] of 1 to T
///   -> [sum of lengths, D].
mx::array completion_hidden(
    const Decoder& model,
    const mx::array& prompt,
    const mx::array& completions,
    const std::vector<int>& lengths);

}  // namespace pupil
