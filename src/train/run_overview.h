// A run as a line of a table, from what is in its directory; it may be at work.

#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "train/run_status.h"

namespace pupil {

struct RunOverview {
  std::string name;  // its folder's
  RunState state = RunState::interrupted;
  int step = 0, max_steps = 0;   // max_steps 0: not known
  std::optional<double> reward;  // the last step's
  std::optional<double> best;    // evaluation, by `metric`
  int best_step = 0;
  std::string metric;   // of evaluations
  int64_t age_s = 0;    // since its metrics changed
  std::string message;  // why it was interrupted or failed
};

/// A killed run says that it is running and holds no lock: it was interrupted.
RunOverview overview_of(const std::filesystem::path& run_dir);

/// Of the runs in `folder`, those that changed last first.
std::vector<RunOverview> overviews_of(const std::filesystem::path& folder);

/// The rows of a run's metrics.jsonl; one that is cut off ends them.
std::vector<nlohmann::ordered_json> metrics_of(const std::filesystem::path& run_dir);

}  // namespace pupil
