// What `pupil eval` is asked to do, from its command line and its config.

#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/types.h"
#include "rollout/generator.h"

namespace pupil {

struct EvalOptions {
  std::string model, adapter, tasks, config, out;
  int samples = 1;
  std::vector<int> ks;               // empty: 1 and `samples`
  std::optional<float> temperature;  // none: greedy for one sample, else the config's
  std::optional<int> max_tokens;     // none: the config's, 512 without one
  std::optional<int> limit;          // none: all tasks
  std::optional<int> threads;        // none: the config's
  bool judge = false, json = false;
  std::vector<std::string> overrides;
};

struct EvalPlan {
  Config config;  // with what the command line says
  std::vector<Task> tasks;
  int num_samples = 1;  // of a task
  std::vector<int> ks;
  SamplingConfig sampling;
  bool judge = false;
  /// All that the report depends on, to be read by people and compared before an
  /// evaluation goes on: "settings" of report.json (docs/evaluation.md).
  nlohmann::ordered_json settings;
};

/// Reads the config and the tasks, checks them against each other and chooses the
/// hardware. Throws UsageError for options that do not fit together,
/// std::invalid_argument for what is wrong in a file.
EvalPlan plan_evaluation(const EvalOptions& options);

}  // namespace pupil
