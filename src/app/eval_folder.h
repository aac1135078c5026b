// The folder that `pupil eval --out` writes: it appears whole, and grows beside its
// place until then.

#pragma once

#include <deque>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "data/types.h"

namespace pupil {

/// "`out`.partial" with settings.json and samples.jsonl, a line a sample, while an
/// evaluation runs, so that one that was ended goes on; `out` with the reports besides
/// once it is finished. With an empty `out` nothing is kept. One process at a time.
class EvalFolder {
 public:
  /// Looks, and writes nothing. Throws std::invalid_argument if one of the two folders
  /// holds something else, or an evaluation of other settings.
  EvalFolder(std::string out, nlohmann::ordered_json settings);

  /// The report of an evaluation that is finished.
  std::optional<nlohmann::ordered_json> report() const;

  /// Creates the partial folder, or takes up what is in it: whole groups of `n` samples
  /// with scores by `rewards`. Throws std::runtime_error if it cannot be written, and
  /// std::invalid_argument for samples that no evaluation wrote.
  void begin(std::vector<std::string> rewards, size_t n);

  /// Fills the next group of `policy` from what was taken up. False: there is no more.
  bool fill(const std::string& policy, RolloutGroup& group);

  /// Adds a scored group, durable against a crash of this process.
  void add(const std::string& policy, const RolloutGroup& group);

  /// A file that is of use only until `finish`; empty: there is no folder.
  std::string scratch_path(const std::string& name) const;

  /// Writes the reports and renames the folder to `out`.
  void finish(const nlohmann::ordered_json& report, const std::string& markdown);

 private:
  void remove_if_unused() const;
  void take_up();

  std::string out_, partial_;
  nlohmann::ordered_json settings_;
  std::vector<std::string> rewards_;
  size_t num_samples_ = 0;  // of a task
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<AppendFile> samples_;
  std::deque<nlohmann::ordered_json> kept_;  // rows that no group has yet
};

}  // namespace pupil
