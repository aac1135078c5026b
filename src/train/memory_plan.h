// What a step of training will take of the machine's memory, before it is taken.

#pragma once

#include <cstdint>
#include <optional>

#include "models/decoder.h"

namespace pupil {

/// The largest step: what is sampled together and what is learned from together.
struct StepSizes {
  int decoding_rows = 0;      // at once
  int decoding_prompts = 0;   // that these rows are of; each one's keys are held once
  int group_rows = 1;         // completions of one prompt
  int prompt_tokens = 0;      // of the longest prompt
  int new_tokens = 0;         // of a row, at the most
  int microbatch_tokens = 0;  // a microbatch holds no more, but for one completion
};

/// Bytes, at the most. Sampling and learning follow each other, so that the larger of
/// them counts.
struct MemoryPlan {
  uint64_t held = 0;           // by the process already: weights, adapter, the program
  uint64_t optimizer = 0;      // gradients and the optimizer's moments
  uint64_t sampling = 0;       // keys, values and logits of the rows that decode
  uint64_t activations = 0;    // of one microbatch, from its forward to its backward
  bool recomputes = false;     // blocks run again in the backward pass
  int decoding_rows = 0;       // at once, that `sampling` is for
  bool samples_apart = false;  // in a process of its own, which holds as much and stays

  uint64_t peak() const;
};

/// The plan for a step on `model` in a process that holds `held` bytes; `update_bytes`
/// is Learner::update_bytes. `recompute` says whether blocks are computed again; none:
/// where that keeps the activations within `budget`.
MemoryPlan plan_memory(
    const Decoder& model,
    const StepSizes& sizes,
    int64_t update_bytes,
    uint64_t held,
    std::optional<bool> recompute,
    int64_t budget);

/// The most tokens of a microbatch, in powers of two, whose activations are within
/// `budget` by the plan; at least 512. `sizes.microbatch_tokens` does not matter.
int fitting_microbatch(
    const Decoder& model,
    StepSizes sizes,
    std::optional<bool> recompute,
    int64_t budget);

}  // namespace pupil
