// How far a phase has come: a bar on a terminal, now and then a plain line in a pipe.

#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace pupil {

/// "0:05", "12:34", "1:02:03".
std::string duration_text(double seconds);

/// What a progress display shows.
struct ProgressState {
  std::string label;  // "sampling"
  std::string unit;   // "completions"
  int64_t done = 0;
  int64_t total = 0;  // 0 where it is not known
  double elapsed_s = 0;
  std::string note = {};  // shown last; may be empty
};

/// "sampling  [#####.....]  50 %  16/32 completions  3.1/s  0:05 left  note", at most
/// `width` columns: the bar gives way first, then the note.
std::string progress_bar(const ProgressState& state, int width);

/// "sampling: 16/32 completions, 3.1/s, 0:05 left, note".
std::string progress_line(const ProgressState& state);

/// Shows one phase on stderr from construction to destruction. On a terminal the bar
/// disappears at the end; in a pipe a line is written every 30 seconds at most, and
/// none for a phase shorter than that. Thread-safe.
class Progress {
 public:
  Progress(std::string label, std::string unit, int64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(int64_t count = 1);
  /// Takes `count` off the total: work that turned out not to be needed.
  void skip(int64_t count);
  /// Sets the text at the end, such as the last reward.
  void note(std::string text);
  /// Sets the text at the end and shows it at once, in a pipe with the next line where
  /// there was one before.
  void announce(std::string text);

 private:
  using Clock = std::chrono::steady_clock;
  void show();

  std::mutex mutex_;
  ProgressState state_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point shown_ = start_;
  const bool on_terminal_;
};

/// Announces on the phase that is shown now, if there is one: for what holds it up and
/// knows nothing of it. Any thread. An empty text takes the note away.
void announce_progress(const std::string& text);

}  // namespace pupil
