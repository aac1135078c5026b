// Rows that decode together: prompts are run as there is room for them, between the
// steps of the rows that are there; their rows join one by one, and leave as they end.

#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/stopwatch.h"
#include "rollout/decode_state.h"
#include "rollout/generator.h"
#include "rollout/prefill.h"
#include "rollout/row.h"

namespace pupil {

/// What a batch tells on its way; any may be empty.
struct BatchEvents {
  const OnToken& on_token;
  const OnCompletion& on_completion;
  const OnPrefill& on_prefill;
};

class Batch {
 public:
  /// All arguments must outlive the batch.
  Batch(
      const Model& model,
      std::span<const Prompt> prompts,
      int n,
      const SamplingConfig& sampling,
      const BatchEvents& events,
      GenerateStats& stats);

  /// Decodes until every row of every prompt has ended; all rows, prompts in order.
  std::deque<Row> run();

 private:
  // A prompt that has been run, of whose rows the first `joined` are in the batch or
  // have ended.
  struct ReadyPrompt {
    int prompt, joined;
    HeldPrompt held;
    mx::array logits;  // [1, V] of its rows' first tokens
  };

  bool is_done() const;
  bool rows_wait() const;
  int rows_to_come() const;
  void advance();
  void begin_prompts();
  bool has_room() const;
  int64_t rows_beside(size_t prompts) const;
  void run_prompts();
  void join_rows();
  void add_rows(ReadyPrompt& ready, int count, std::vector<Row*>& fresh);
  int row_limit(int prompt, int row) const;
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
  const int max_rows_;
  BatchEvents events_;
  GenerateStats& stats_;
  DecodeState state_;
  Prefill prefill_;
  RuledLogits rules_;
  std::deque<Row> rows_;     // of the prompts that have joined
  std::vector<Row*> alive_;  // the batch's rows, in order
  // Their tokens, drawn but not read.
  std::optional<SampledTokens> sampled_;
  Stopwatch since_step_;  // since the last step's tokens were read
  std::deque<ReadyPrompt> ready_;
  std::vector<int> left_;  // [prompts] rows that have not ended
  size_t waiting_ = 0;     // the first prompt that has not begun
  int64_t told_run_ = 0;   // tokens of prompts, to `on_prefill`
};

}  // namespace pupil
