// A run's directory: its only output, and all that a resumed run reads.

#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>

#include "base/file.h"
#include "base/log.h"
#include "train/checkpoint.h"
#include "train/row_file.h"
#include "train/run_origin.h"

namespace pupil {

/// Owns the directory: a lock keeps a second run out for as long as it lives. One
/// thread.
class RunDir {
 public:
  /// Creates what is missing. `adapter_config` is the text of adapter_config.json.
  /// `origin` goes into checkpoints, and is compared with theirs when one is loaded.
  /// Throws std::invalid_argument if there is a run in it already and `resume` is
  /// false, or none and it is true; std::runtime_error if another run holds it.
  RunDir(
      std::filesystem::path path,
      bool resume,
      const std::string& adapter_config,
      RunOrigin origin = {});

  const std::filesystem::path& path() const { return path_; }

  /// A line on stdout and in log.txt; `warn`: on stderr, and marked; `log`: in log.txt
  /// alone.
  void print(const std::string& line);
  void warn(const std::string& line);
  void log(const std::string& line);

  /// From now on metrics go to a new file in tensorboard/ as well.
  void start_tensorboard();

  /// A histogram, and a text in Markdown, in TensorBoard alone; nothing without it.
  void add_histogram(const std::string& name, int step, std::span<const double> values);
  void add_text(const std::string& name, int step, std::string_view text);

  /// One row of metrics.jsonl; rows of rollouts.jsonl. A row has its "step". Where the
  /// disk is full they wait in memory for room, as TensorBoard's do, and one warning
  /// says so; `save` fails as long as they cannot be written.
  void add_metrics(const nlohmann::ordered_json& row);
  void add_rollouts(std::span<const nlohmann::ordered_json> rows);

  /// Replaces a file of the directory.
  void write(const std::string& name, std::string_view content);

  /// Saves a checkpoint and publishes its adapter, or the moving average of it, in
  /// adapters/. Throws std::runtime_error, and then the ones before are as they were.
  void save(
      const Learner& learner,
      int step,
      const nlohmann::json& trainer,
      const KeptCheckpoints& kept);

  /// Publishes the adapter of the checkpoint of `step` where adapters/ has another one:
  /// a run may have ended between the two. Throws std::runtime_error.
  void publish_if_missed(const Learner& learner, int step);

  /// The newest usable checkpoint, and metrics and rollouts cut back to its step.
  /// Without any checkpoint: none, and both are emptied. TensorBoard, if it was started
  /// before, is told to drop the steps after it. Throws what `check_origin` throws.
  std::optional<TrainState> load(const Learner& learner);

  /// For messages: the newest checkpoint's folder, or "none".
  std::string last_checkpoint() const;

  /// The folder of a step's checkpoint that has what evaluations measured, the adapter
  /// or the moving average of it.
  std::string checkpoint_of(int step) const;

 private:
  void publish(const Learner& learner, const std::filesystem::path& checkpoint);
  void add(RowFile& file, std::string_view rows);

  std::filesystem::path path_;
  FileLock lock_;
  RunOrigin origin_;
  CheckpointStore checkpoints_;
  LogFile log_;
  RowFile metrics_, rollouts_;
  std::optional<RowFile> events_;
  bool rows_wait_ = false;  // and a warning has said so
};

/// Throws what RunDir's constructor would throw about `path`, and changes nothing: to
/// be asked before long work.
void check_run_dir(const std::filesystem::path& path, bool resume);

/// Cuts a JSON Lines file before its first row past `step`, an evaluation's past
/// `evaluated_step`, or that is no JSON object with a "step".
void truncate_rows(const std::filesystem::path& path, int step, int evaluated_step);

}  // namespace pupil
