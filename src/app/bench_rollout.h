// The rollout that `pupil bench --rollout` times: many prompts with several rows each,
// through the batch that training samples with.

#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "models/model.h"
#include "rollout/generator.h"

namespace pupil {

struct RolloutWork {
  int prompts = 64, rows = 8;
  int prompt_tokens = 116;  // of the longest; lengths from half of it on
  // Each row's own limit, even between the two, from a seed. With `tasks` the model
  // ends its answers itself, or at the second.
  std::vector<int> limits = {16, 256};
  std::string tasks;          // a tasks file whose first prompts are asked; empty: none
  int long_prompt = 0;        // tokens of one prompt in the middle; 0: as the others
  int kv_bits = 0;            // of the cache
  SamplingConfig sampling{};  // how many rows at once, and the like
};

/// Options of their own: prompts, limits, tasks, and what `sampling` holds.
void add_rollout_options(CLI::App& command, RolloutWork& work);

/// Runs it once. Throws UsageError where the sizes do not fit the model or the tasks.
nlohmann::ordered_json rollout_figures(Model& model, const RolloutWork& work);

/// The figures as a table, and what they count.
std::string rollout_text(const nlohmann::ordered_json& figures);

}  // namespace pupil
