// Samples completions: a prompt is run once, its rows share its keys and values, and
// rows of many prompts decode as one batch, which waiting prompts join as others' rows
// end. It moves token ids; text is needed only for stop strings and for the result.

#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/types.h"
#include "models/model.h"
#include "ops/sample.h"
#include "rollout/logit_rules.h"

namespace pupil {

struct SamplingConfig {
  LogitRules rules;  // of which tokens are drawn; log-probabilities are the model's
  Truncation truncation;
  int max_tokens = 256;
  std::vector<std::string> stop;  // a completion ends before the first of these
  uint64_t seed = 0;
  // The limit of one row, from 1 to max_tokens; empty: max_tokens.
  std::function<int(int prompt, int row)> row_limit;
  std::optional<int> max_rows;  // that decode together; empty: see `rows_at_once`
  // Prompts and rows wait while keys and values could take more; 0: nobody waits.
  int64_t cache_bytes = 0;
  int prefill_chunk = 512;  // tokens of prompts that run between two steps; 0: all
};

/// `max_rows`, or where it is left open what suits the device: 64 on a GPU; 32 on a
/// CPU, which is as fast with them, in half the memory and with fewer empty places at
/// the end.
int rows_at_once(std::optional<int> max_rows);

/// What a call did, for whoever reports speed.
struct GenerateStats {
  long prompt_tokens = 0, new_tokens = 0;
  double prefill_s = 0;  // of the first prompts, beside which nothing decodes
  double decode_s = 0;
  // Decode steps, and rows of them whose token joined a completion; of these, those
  // while prompts waited for room.
  long steps = 0, row_steps = 0, crowded_steps = 0, crowded_row_steps = 0;
  double longest_gap_s = 0;  // between the tokens of two decode steps
  int max_rows = 0;          // that one step had
  int64_t cache_bytes = 0;   // keys and values, at the most
  // What they were with the prompt's in each row, the rest alike, and with room for all
  // of each row's tokens besides.
  int64_t copied_bytes = 0, unshared_bytes = 0;

  /// Share of the places of all steps that held an unfinished row: of the whole call,
  /// at whose end there is nobody left to fill them, and while prompts waited.
  double occupancy() const { return share(row_steps, steps); }
  double crowded_occupancy() const { return share(crowded_row_steps, crowded_steps); }

 private:
  double share(long rows, long of_steps) const {
    double places = 1.0 * static_cast<double>(of_steps) * max_rows;
    return places > 0 ? static_cast<double>(rows) / places : 0;
  }
};

/// Called on the caller's thread for every token that joins a completion; `last`: it
/// ended it.
using OnToken = std::function<void(int prompt, int row, int token, bool last)>;

/// Called on the caller's thread for every completion as it ends, while others go on.
using OnCompletion = std::function<void(int prompt, int row, const Completion&)>;

/// Called on the caller's thread after each chunk of prompts that others follow: how
/// many tokens of prompts have been run so far.
using OnPrefill = std::function<void(int64_t tokens)>;

/// `n` completions of each prompt, prompts in order, rows in order. A completion
/// depends only on the model, the prompt, the sampling settings and (seed, prompt key,
/// row), not on what else is in the batch: to the bit on a CPU, unless a row is longer
/// than the model's window or its scores have a soft cap. Throws std::invalid_argument
/// for an empty prompt or stop string, a bias of a token that is none, or a prompt
/// that, with `max_tokens`, exceeds the model's positions.
std::vector<std::vector<Completion>> generate(
    const Model& model,
    std::span<const Prompt> prompts,
    int n,
    const SamplingConfig& sampling,
    const OnToken& on_token = {},
    GenerateStats* stats = nullptr,
    const OnCompletion& on_completion = {},
    const OnPrefill& on_prefill = {});

}  // namespace pupil
