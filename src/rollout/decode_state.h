// What a batch of decoding rows holds on the device: the prompts' keys and values, each
// row's own, and the token to be fed next.

#pragma once

#include <span>
#include <vector>

#include "models/attend.h"
#include "models/decode_blocks.h"
#include "ops/attention.h"
#include "ops/no_cache.h"

namespace pupil {

/// Rows of one decode batch. All rows have generated the same number of tokens; their
/// prompts may differ in length.
class DecodeState {
 public:
  /// `n` rows for each prompt. Runs the prompts; `capacity` bounds the tokens a row
  /// adds. `fused`: a layer is one operation where the device can; the bits are the
  /// same.
  DecodeState(
      const Decoder& model,
      const std::vector<std::vector<int>>& prompts,
      int n,
      int capacity,
      bool fused = true);

  /// Logits of each row's next token, [R, V]: after the prompt at first, then after
  /// `feed`.
  const mx::array& logits() const { return logits_; }

  /// Runs one token for each row, [R] int32, and updates `logits`. Nothing is
  /// evaluated.
  void feed(const mx::array& tokens);

  /// Keeps only these rows (ascending), in place of all.
  void keep(const std::vector<int>& rows);

  int num_rows() const { return static_cast<int>(positions_.size()); }

 private:
  mx::array attend(
      int layer, const mx::array& q, const mx::array& k, const mx::array& v);
  void grow();
  mx::array run_layers(const mx::array& tokens);
  mx::array run_blocks(const mx::array& tokens);

  NoCache no_cache_;  // tails only grow
  const Decoder& model_;
  DecodeBlocks blocks_;  // empty: layers run operation by operation
  std::vector<std::vector<SharedPrefix>> prefixes_;  // [layers][prompts in the batch]
  // [layers] of [R, K, room, E]; fused blocks turn the keys.
  std::vector<mx::array> tail_k_, tail_v_;
  std::vector<int> positions_;            // [R] of the next token to feed
  int length_ = 0, room_ = 0, capacity_;  // tokens in the tails, and space
  mx::array logits_;
};

}  // namespace pupil
