// Samples completions: a prompt is run once, its rows share its keys and values, and
// all rows of all prompts decode as one batch. It moves token ids; text is needed only
// for stop strings and for the result.

#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/types.h"
#include "models/model.h"
#include "ops/sample.h"

namespace pupil {

struct SamplingConfig {
  Truncation truncation;
  int max_tokens = 256;
  std::vector<std::string> stop;  // a completion ends before the first of these
  uint64_t seed = 0;
  int max_rows = 128;  // rows that decode together; bounds memory
};

/// What a call did, for whoever reports speed.
struct GenerateStats {
  long prompt_tokens = 0, new_tokens = 0;
  double prefill_s = 0, decode_s = 0;
};

/// Called on the caller's thread for every token that joins a completion; `last`: it
/// ended it.
using OnToken = std::function<void(int prompt, int row, int token, bool last)>;

/// Called on the caller's thread for every completion as it ends, while others go on.
using OnCompletion = std::function<void(int prompt, int row, const Completion&)>;

/// `n` completions of each prompt, prompts in order, rows in order. A completion
/// depends only on the model, the prompt, the sampling settings and (seed, prompt key,
/// row), not on what else is in the batch. Throws std::invalid_argument for an empty
/// prompt or stop string, or a prompt that, with `max_tokens`, exceeds the model's
/// positions.
std::vector<std::vector<Completion>> generate(
    const Model& model,
    std::span<const Prompt> prompts,
    int n,
    const SamplingConfig& sampling,
    const OnToken& on_token = {},
    GenerateStats* stats = nullptr,
    const OnCompletion& on_completion = {});

}  // namespace pupil
