#include "hub/download_bar.h"

#include <cstdio>

namespace pupil {

namespace {

constexpr int64_t kMegabyte = 1000000;

int64_t total_mb(const std::vector<HubFile>& files) {
  int64_t bytes = 0;
  for (const auto& file : files) bytes += file.size;
  return (bytes + kMegabyte - 1) / kMegabyte;
}

}  // namespace

std::string file_note(
    const std::string& name,
    int64_t done,
    int64_t size,
    int64_t fresh,
    double seconds) {
  char text[64] = "";
  double share = size > 0 ? static_cast<double>(done) / static_cast<double>(size) : 1;
  std::snprintf(text, sizeof text, " %.0f %%", 100 * share);
  std::string note = name + text;
  if (fresh <= 0 || seconds <= 0) return note;
  double rate = static_cast<double>(fresh) / seconds;
  std::snprintf(text, sizeof text, " %.1f MB/s ", rate / kMegabyte);
  return note + text + duration_text(static_cast<double>(size - done) / rate) + " left";
}

DownloadBar::DownloadBar(const std::vector<HubFile>& files)
    : progress_("downloading", "MB", total_mb(files)), count_(files.size()) {}

void DownloadBar::start(const HubFile& file) {
  file_ = file;
  ++index_;
  start_ = Clock::now();
  first_ = -1;
  last_ = 0;
}

void DownloadBar::update(int64_t bytes) {
  if (first_ < 0) {
    first_ = last_ = bytes;
    progress_.skip(bytes / kMegabyte);
  }
  bytes_ += bytes - last_;
  last_ = bytes;
  progress_.note(note());
  int64_t mb = bytes_ / kMegabyte;
  progress_.advance(mb - shown_mb_);
  shown_mb_ = mb;
}

std::string DownloadBar::note() const {
  std::chrono::duration<double> elapsed = Clock::now() - start_;
  return std::to_string(index_) + "/" + std::to_string(count_) + " " +
         file_note(file_.name, last_, file_.size, last_ - first_, elapsed.count());
}

}  // namespace pupil
