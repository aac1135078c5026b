#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include "base/progress.h"

namespace pupil {

/// Shows how far a model has been written; a ConvertProgress that learns the number of
/// tensors on the way.
class ConversionBar {
 public:
  explicit ConversionBar(std::string title) : title_(std::move(title)) {}

  void operator()(size_t done, size_t total, int64_t bytes) {
    if (!progress_) {
      progress_.emplace(title_, "tensors", static_cast<int64_t>(total));
    }
    char note[32];
    std::snprintf(note, sizeof note, "%.1f MB", static_cast<double>(bytes) / 1e6);
    progress_->note(note);
    progress_->advance(static_cast<int64_t>(done - done_));
    done_ = done;
  }

  /// Before anything else is printed.
  void finish() { progress_.reset(); }

 private:
  std::string title_;
  std::optional<Progress> progress_;
  size_t done_ = 0;
};

}  // namespace pupil
