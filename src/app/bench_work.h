// The work that `pupil bench` times: sampling and training on fixed sizes.

#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "models/model.h"
#include "train/learner.h"
#include "train/memory_plan.h"

namespace pupil {

/// What one step took.
struct StepFigures {
  double generation_s = 0, update_s = 0;
  uint64_t peak_bytes = 0;  // of the process while it ran
};

/// A policy-gradient step: completions of one prompt.
struct PolicyWork {
  int rows = 8, prompt_tokens = 116, new_tokens = 64;
  bool unshared = false;  // learn as if every completion had a prompt of its own
};

/// Tokens a second of one call that samples `batch` prompts of `context` tokens each.
struct ContextSpeed {
  double prefill_tok_s = 0, decode_tok_s = 0;
};

/// New tokens of each row where speed is looked at by context.
inline constexpr int kContextNewTokens = 32;

/// Where the time of some work went: seconds by operation, and of all of it.
struct TimeParts {
  std::map<std::string, double> operation_s;
  double total_s = 0;
};

/// A model that never ends a completion early, and, once `attach` was called, its
/// learner with LoRA of rank 16 on all linears. Neither copied nor moved.
class BenchModel {
 public:
  explicit BenchModel(const std::string& model_dir);
  BenchModel(const BenchModel&) = delete;
  BenchModel& operator=(const BenchModel&) = delete;

  /// Seconds of a prompt of `tokens` tokens, up to the logits of its last.
  double prefill_s(int tokens) const;

  /// Tokens a second of `rows` rows of one prompt of 64 tokens, 64 new ones each.
  double decode_tok_s(int rows) const;

  /// Of `batch` different prompts of `context` tokens, kContextNewTokens new ones each.
  ContextSpeed context_speed(int batch, int context) const;

  /// The positions that the model has: no context with its new tokens may be longer.
  int max_positions() const;

  /// `recompute`: whether blocks run again in the backward pass; none: where memory
  /// asks for it.
  void attach(std::optional<bool> recompute = {});

  /// Samples the completions and learns from them.
  StepFigures policy_step(const PolicyWork& work = {});

  /// What `policy_step` is expected to take.
  MemoryPlan plan(const PolicyWork& work = {}) const;

  /// A supervised step: 8 rows of 160 tokens that share no more than their first.
  StepFigures supervised_step();

 private:
  StepFigures learn(std::vector<RolloutGroup> groups, double generation_s);

  Model model_;
  std::unique_ptr<Learner> learner_;
  std::optional<bool> recompute_;
};

/// Runs `work` with the operations timed.
TimeParts time_parts(const std::function<void()>& work);

}  // namespace pupil
