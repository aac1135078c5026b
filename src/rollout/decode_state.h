// What a batch of decoding rows holds on the device: the prompts' keys and values, and
// each row's own.

#pragma once

#include <optional>
#include <span>
#include <vector>

#include "models/attend.h"
#include "models/decode_blocks.h"
#include "ops/attention.h"
#include "ops/cpu/row_pages.h"
#include "ops/no_cache.h"
#include "rollout/row_tails.h"

namespace pupil {

/// A prompt's keys and values as decode steps read them. Copies share them.
struct HeldPrompt {
  PrefixCache cache;
  int length;
};

/// Rows of one decode batch, each with its own prompt length and number of tokens. A
/// prompt's keys and values are held once for all its rows. On the CPU a row's own lie
/// in pages, so that rows come and go without moving the others.
class DecodeState {
 public:
  /// `most_tokens`: of a row, its prompt's among them. `fused`: a layer is one
  /// operation where the device can; the bits are the same.
  DecodeState(const Decoder& model, int most_tokens, bool fused = true);

  /// Brings what `prefill` left into the form that rows of this state share.
  HeldPrompt hold(const PrefixCache& cache) const;

  /// Puts `n` rows of a prompt behind the rows that are there.
  void add(const HeldPrompt& prompt, int n);

  /// Runs prompts, and puts `n` rows of each behind the rows that are there. Returns
  /// the logits of each new row's first token, [new rows, V].
  mx::array add(const std::vector<std::vector<int>>& prompts, int n);

  /// Runs one token for each row, [R] int32. Returns the logits of each row's next
  /// token, [R, V]. Nothing is evaluated.
  mx::array feed(const mx::array& tokens);

  /// Keeps only these rows (ascending), in place of all.
  void keep(const std::vector<int>& rows);

  int num_rows() const { return static_cast<int>(positions_.size()); }

  /// Whether `keep` and `add` leave the keys and values of other rows where they are.
  bool moves_nothing() const { return !blocks_.empty(); }

  /// Of keys and values, the room that waits for tokens among them.
  int64_t cache_bytes() const;

  /// The same if each row held its prompt's for itself.
  int64_t copied_bytes() const;

 private:
  mx::array run_layers(const mx::array& tokens);
  mx::array run_blocks(const mx::array& tokens);
  int64_t own_bytes() const;

  NoCache no_cache_;
  const Decoder& model_;
  DecodeBlocks blocks_;  // empty: layers run operation by operation
  std::vector<std::vector<SharedPrefix>> prefixes_;  // [layers][prompts in the batch]
  std::vector<int> positions_;                       // [R] of the next token to feed
  // The rows' own: fused blocks have pages, and what waits for the last step's writes.
  cpu::PageShape page_shape_;
  std::vector<cpu::RowPages> pages_;
  std::vector<mx::array> written_;  // [layers]
  RowTails tails_;
};

}  // namespace pupil
