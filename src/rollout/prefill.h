// Prompts on their way into a batch: they are run some tokens at a time, so that rows
// that decode need not wait for a long one, and memory does not grow with it.

#pragma once

#include <deque>
#include <span>
#include <vector>

#include "models/attend.h"

namespace pupil {

/// A prompt that has been run to its end.
struct RunPrompt {
  PrefixCache cache;
  mx::array logits;  // [1, V] of the first token that follows
};

/// First in, first out.
class Prefill {
 public:
  /// `chunk`: tokens that are run at once; 0: prompts are not cut.
  Prefill(const Decoder& model, int chunk) : model_(model), chunk_(chunk) {}

  /// `tokens` must outlive their run.
  void add(std::span<const int> tokens) { waiting_.push_back({tokens, {}}); }

  bool empty() const { return waiting_.empty(); }
  int num_prompts() const { return static_cast<int>(waiting_.size()); }

  /// Queues the next tokens, of several prompts if they are short. Returns the prompts
  /// that end with them, in order. Waits for the tokens before: no more than one chunk
  /// is in memory.
  std::vector<RunPrompt> run();

  /// Tokens that have been run; of the chunk that was queued last it is not known yet.
  int64_t num_run() const { return num_run_; }

  /// Of the keys and values of prompts that have not ended.
  int64_t cache_bytes() const;

 private:
  struct Waiting {
    std::span<const int> tokens;  // that have not been run
    PrefixCache cache;            // of those that have
  };

  void wait();
  std::vector<NextTokens> next_tokens();
  std::vector<RunPrompt> take_ended(const mx::array& hidden);
  void start(const std::vector<RunPrompt>& ended);

  const Decoder& model_;
  int chunk_;
  std::deque<Waiting> waiting_;
  std::vector<mx::array> begun_;  // what the last chunk leaves
  int64_t num_queued_ = 0, num_run_ = 0;
};

}  // namespace pupil
