// Rows that decode together: prompts join as there is room for them, rows leave as they
// end.

#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "rollout/decode_state.h"
#include "rollout/generator.h"
#include "rollout/row.h"

namespace pupil {

class Batch {
 public:
  /// All arguments must outlive the batch.
  Batch(
      const Model& model,
      std::span<const Prompt> prompts,
      int n,
      const SamplingConfig& sampling,
      const OnToken& on_token,
      const OnCompletion& on_completion,
      GenerateStats& stats);

  /// Decodes until every row of every prompt has ended; all rows, prompts in order.
  std::deque<Row> run();

 private:
  void admit();
  bool has_room() const;
  int64_t most_cache_bytes(size_t next_prompt) const;
  std::vector<Row*> add_prompts(std::vector<std::vector<int>>& tokens);
  void join(const SampledTokens& fresh);
  void step();
  void leave_full_rows();
  bool is_full(const Row& row) const;
  std::vector<int> places_of(const std::function<bool(const Row&)>& chosen) const;
  SampledTokens sample(
      const std::vector<Row*>& rows, const mx::array& logits, int pending);
  SampledTokens draw(
      const mx::array& logits,
      const mx::array& uniforms,
      const std::vector<int>& lengths);
  void read(const std::vector<Row*>& rows, SampledTokens sampled);
  void drop_finished();
  void keep(const std::vector<int>& places);
  void count_step(const std::vector<Row*>& rows);
  void count_memory();

  const Model& model_;
  std::span<const Prompt> prompts_;
  int n_;
  const SamplingConfig& sampling_;
  const OnToken& on_token_;
  const OnCompletion& on_completion_;
  GenerateStats& stats_;
  DecodeState state_;
  RuledLogits rules_;
  std::deque<Row> rows_;     // of the prompts that have joined
  std::vector<Row*> alive_;  // the batch's rows, in order
  // Their tokens, drawn but not read.
  std::optional<SampledTokens> sampled_;
  size_t waiting_ = 0;  // the first prompt that has not joined
};

}  // namespace pupil
