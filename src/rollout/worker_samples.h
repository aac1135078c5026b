// The completions of one request as a worker tells them, over all the processes that it
// took: each is checked against what the engine here would have done with its tokens.

#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "rollout/generator.h"
#include "rollout/worker_message.h"

namespace pupil {

/// How the sampling of a worker is followed; either may be empty and may throw, which
/// ends it.
struct WorkerEvents {
  /// `tokens` more are there, and `spared` of those that were allowed will not be.
  std::function<void(int64_t tokens, int64_t spared)> on_sampled;
  /// As the engine calls it, and once a completion, however often it is told.
  OnCompletion on_completion;
};

class WorkerSamples {
 public:
  /// `n` rows of each prompt. All arguments must outlive it.
  WorkerSamples(
      const Model& model,
      std::span<const Prompt> prompts,
      int n,
      const SamplingConfig& sampling,
      const WorkerEvents& events);

  AnswerBounds bounds() const;

  /// The request is asked of another process: completions that are there stay, and may
  /// be told again.
  void ask_again();

  /// `message` is progress or a completion, within `bounds`. Throws WorkerTrouble for a
  /// row told twice by a process, one that does not end where its tokens end it, and
  /// progress that is none.
  void add(WorkerMessage message);

  /// Throws WorkerTrouble if the process left out a row.
  void expect_whole() const;

  /// All of them, rows of each prompt in order.
  std::vector<std::vector<Completion>> take();

 private:
  void advance(const WorkerMessage& message);
  Completion finished(const WorkerMessage& message) const;
  void tell(int64_t tokens, int64_t spared);
  size_t place(size_t prompt, int row) const { return prompt * n_ + row; }

  const Model& model_;
  std::span<const Prompt> prompts_;
  int n_;
  const SamplingConfig& sampling_;
  const WorkerEvents& events_;
  std::vector<std::optional<Completion>> all_;  // [prompts * n]
  std::vector<bool> told_;                      // the same, by this process
  int64_t progress_ = 0, prompt_progress_ = 0;  // tokens, by this process
  int64_t here_ = 0, told_tokens_ = 0;          // of `all_`; to `on_sampled`
};

}  // namespace pupil
