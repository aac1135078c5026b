// Checkpoints: folders `step-000020` that exist whole or not at all.
//
//   adapters.safetensors    the trained arrays, in mlx-lm's layout
//   adapter_config.json     what mlx-lm needs to know about them
//   optimizer.safetensors   the optimizer's state, <kind>.<path> (train/optimizer.h),
//                           the moving average, ema.<path>, and the reference where it
//                           moves, reference.<path>
//   state.json              step, the optimizer's name and step, the trainer's own
//                           state, and where it comes from (train/run_origin.h)
//   ema/                    the moving average as an adapter's folder of its own, where
//                           there is one: what evaluations measure
//   manifest.json           size and SHA-256 of each file above
//
// A folder is written under a temporary name, synced, read back and renamed before an
// older one goes; what a crash leaves behind is swept away by the next run. LATEST
// names the newest, for other programs: this one looks for the newest that verifies.

#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "train/learner.h"

namespace pupil {

/// What a run needs to go on as if it had not stopped.
struct TrainState {
  int step = 0;                   // optimizer steps done
  std::vector<mx::array> params;  // in the order of the learner's paths
  ArrayKinds arrays;              // Learner::state
  int optimizer_step = 0;
  nlohmann::json trainer;  // counters of the trainer; see Trainer
  nlohmann::json origin;   // of the run that wrote it
};

/// What stays after a save.
struct KeptCheckpoints {
  int newest = 3;                // as many
  std::optional<int> best_step;  // and this one, if it is there
};

/// Writes what the run hands out (Learner::exported) in mlx-lm's layout, whole or not
/// at all.
void write_exported(const Learner& learner, const std::filesystem::path& path);

/// Whether `path` is a file that `write_exported` would write now.
bool holds_exported(const Learner& learner, const std::filesystem::path& path);

using WarnFn = std::function<void(const std::string&)>;

/// The folders of checkpoints in one run directory. One thread.
class CheckpointStore {
 public:
  /// `adapter_config` is the text of adapter_config.json, `origin` goes into each
  /// state.json. Creates the folder and removes temporary folders of processes that are
  /// gone.
  CheckpointStore(
      std::filesystem::path folder,
      std::string adapter_config,
      nlohmann::ordered_json origin = {});

  /// Writes step-<step>, reads it back, then deletes what `kept` does not name. Throws
  /// std::runtime_error (a full disk, say, which is looked at first); then nothing that
  /// was there is changed and nothing half-written stays.
  void save(
      const Learner& learner,
      int step,
      const nlohmann::json& trainer,
      const KeptCheckpoints& kept);

  /// The newest checkpoint whose manifest holds and whose arrays fit `learner`; older
  /// ones are tried in turn, each failure passed to `warn`. None: there is none at all.
  /// Throws std::runtime_error if there are some and none can be used.
  std::optional<TrainState> load(const Learner& learner, const WarnFn& warn) const;

  /// Folder of the newest checkpoint whose manifest holds; empty if there is none.
  std::filesystem::path newest() const;

  /// Where the checkpoint of this step is, or would be.
  std::filesystem::path of_step(int step) const;

  /// The folder in it that holds what the run handed out then (Learner::exported).
  std::filesystem::path exported_of_step(int step) const;

 private:
  std::vector<std::filesystem::path> newest_first() const;
  void write_files(
      const std::filesystem::path& folder,
      const Learner& learner,
      int step,
      const nlohmann::json& trainer) const;
  void remove_others(int step, const KeptCheckpoints& kept) const;

  std::filesystem::path folder_;
  std::string adapter_config_;
  nlohmann::ordered_json origin_;
};

}  // namespace pupil
