// A data file that grows task by task and appears whole: `out`.part until then.

#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/file.h"

namespace pupil {

/// The rows of the first tasks of a run, kept in "`out`.part" as they come, so that a
/// run that was ended goes on. One process at a time.
class CollectFile {
 public:
  /// Takes up the part file if it was begun under the same `fingerprint`, else begins a
  /// new one. A last line that a crash has cut is dropped. Throws std::runtime_error if
  /// it cannot be written.
  CollectFile(std::string out, const std::string& fingerprint);

  /// There was a part file of the same run, perhaps without a task in it.
  bool goes_on() const { return goes_on_; }

  /// Tasks that are done.
  size_t num_tasks() const { return num_tasks_; }

  /// Adds the next task's rows, durable against a crash of this process.
  void add(const nlohmann::ordered_json& rows);

  /// Writes all rows to `out`, a line each, whole or not at all, and removes the part
  /// file. Returns how many. Throws std::runtime_error.
  size_t publish();

 private:
  std::string out_, part_;
  bool goes_on_ = false;
  size_t num_tasks_ = 0;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<AppendFile> file_;
};

}  // namespace pupil
