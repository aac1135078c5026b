// How far the files of a model have come: one bar over all, with the file at hand after
// it.

#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/progress.h"
#include "hub/listing.h"

namespace pupil {

class DownloadBar {
 public:
  explicit DownloadBar(const std::vector<HubFile>& files);

  void start(const HubFile& file);

  /// `bytes` of the file are there now. The first number is what an earlier download
  /// left, which counts for neither bar's rate.
  void update(int64_t bytes);

 private:
  using Clock = std::chrono::steady_clock;
  std::string note() const;

  Progress progress_;  // in megabytes
  size_t count_, index_ = 0;
  HubFile file_;
  Clock::time_point start_;
  int64_t first_ = -1, last_ = 0;
  int64_t bytes_ = 0, shown_mb_ = 0;  // of all files
};

/// "model.safetensors 31 % 12 MB/s 0:40 left": `done` bytes of `size` are there,
/// `fresh` of them since `seconds` ago.
std::string file_note(
    const std::string& name, int64_t done, int64_t size, int64_t fresh, double seconds);

}  // namespace pupil
