// A directory that appears complete or not at all.

#pragma once

#include <string>

namespace pupil {

/// What a `StagedDirectory` may do with a target that exists and is not empty.
/// Both of the first leave it alone; `refuse` names --force as the way to replace it.
enum class Existing { never, refuse, replace_model };

/// Throws std::invalid_argument as StagedDirectory does for a target that is taken: for
/// those who have long work to do before they write.
void check_target(const std::string& target, Existing existing);

/// Work goes to a new temporary directory beside `target`; `commit` puts it in place,
/// and without it the destructor removes what was written.
class StagedDirectory {
 public:
  /// Throws std::invalid_argument "[write] target: ..." if `target` exists and is not
  /// an empty directory, unless it holds a model (config.json and safetensors files)
  /// and `existing` is replace_model; std::runtime_error if nothing can be written
  /// there.
  StagedDirectory(std::string target, Existing existing);
  ~StagedDirectory();
  StagedDirectory(const StagedDirectory&) = delete;
  StagedDirectory& operator=(const StagedDirectory&) = delete;

  const std::string& path() const { return staging_; }

  /// Flushes the names and renames. An old model is moved aside first and removed last.
  void commit();

 private:
  std::string target_, staging_;
};

}  // namespace pupil
