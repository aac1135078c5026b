// What changes logits before a token is drawn: penalties for repetition, biases, and no
// end before so many tokens.

#pragma once

#include <map>
#include <vector>

#include "mlx/mlx.h"

namespace pupil {

namespace mx = mlx::core;

/// In this order, as vLLM and Hugging Face define them.
struct LogitRules {
  // Of tokens in prompt or completion: positive logits are divided by it, negative ones
  // multiplied (arXiv:1909.05858).
  float repetition_penalty = 1.0f;
  // Taken off the logits of tokens in the completion: once, and for each time.
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::map<int, float> logit_bias;  // by token, added
  int min_tokens = 0;               // before so many, no token that ends a completion

  bool counts_tokens() const {
    return repetition_penalty != 1.0f || presence_penalty != 0.0f ||
           frequency_penalty != 0.0f;
  }
  bool any() const { return counts_tokens() || !logit_bias.empty() || min_tokens > 0; }
};

/// Throws std::invalid_argument "[generate] ..." for a bias of a token that is not one
/// of `vocab_size`.
void expect_known_tokens(const LogitRules& rules, int vocab_size);

/// The rules applied to the rows of a batch, whose tokens it counts. All memory is on
/// the device: two numbers a row and token of the vocabulary, if anything is counted.
class RuledLogits {
 public:
  /// `rules` must outlive it. `eos_ids` end a completion.
  RuledLogits(const LogitRules& rules, const std::vector<int>& eos_ids, int vocab_size);

  /// `n` rows for each prompt, behind the rows that are there.
  void add(const std::vector<std::vector<int>>& prompts, int n);

  /// Keeps only these rows (ascending), in place of all.
  void keep(const std::vector<int>& rows);

  /// logits [k, V] of the rows from `first` on, which have `lengths` [k] tokens -> the
  /// same under the rules, float32.
  mx::array apply(
      const mx::array& logits, int first, const std::vector<int>& lengths) const;

  /// tokens [k] int32, drawn for the rows from `first` on.
  void count(int first, const mx::array& tokens);

 private:
  const LogitRules& rules_;
  int vocab_size_;
  mx::array bias_;                // [1, V] float32
  mx::array is_end_;              // [1, V] bool
  mx::array in_prompt_, counts_;  // [R, V] bool and uint16

  mx::array penalized(const mx::array& logits, int first) const;
};

}  // namespace pupil
