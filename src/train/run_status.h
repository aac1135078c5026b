// status.json: how a run ended, or that it has not.

#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace pupil {

class RunDir;

enum class RunState { running, finished, interrupted, failed };

/// "running", "finished", ...
std::string name_of(RunState state);

struct RunStatus {
  RunState state = RunState::running;
  int max_steps = 0;
  std::string metric;   // train.metric_for_best_model
  std::string message;  // why it was interrupted or failed; may be empty
};

/// Writes status.json. A disk that is full is no reason to hide why a run failed: a
/// failure is told in log.txt only.
void write_status(RunDir& run, const RunStatus& status);

/// What status.json says; none if there is no such file, or not a good one.
std::optional<RunStatus> read_status(const std::filesystem::path& run_dir);

/// Whether a process works in this directory now: it holds the lock.
bool is_at_work(const std::filesystem::path& run_dir);

}  // namespace pupil
