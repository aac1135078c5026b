#include "base/progress.h"

#include <algorithm>
#include <cstdio>

#include "base/screen.h"

namespace pupil {

namespace {

constexpr auto kTerminalPause = std::chrono::milliseconds(100);
constexpr auto kPipePause = std::chrono::seconds(30);
constexpr int kWidestBar = 30, kNarrowestBar = 5;

std::string printed(const char* format, double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

std::string rate_text(double rate) {
  return printed(rate < 10 ? "%.1f/s" : "%.0f/s", rate);
}

std::string count_text(const ProgressState& state) {
  const std::string total = state.total > 0 ? '/' + std::to_string(state.total) : "";
  return std::to_string(state.done) + total + ' ' + state.unit;
}

/// Count, rate and time left, as far as they are known.
std::string numbers_text(const ProgressState& state, std::string_view separator) {
  std::string text = count_text(state);
  if (state.done == 0 || state.elapsed_s <= 0) return text;
  const double rate = static_cast<double>(state.done) / state.elapsed_s;
  text.append(separator) += rate_text(rate);
  if (state.total <= state.done) return text;
  const double left_s = static_cast<double>(state.total - state.done) / rate;
  text.append(separator) += duration_text(left_s) + " left";
  return text;
}

std::string bar_text(const ProgressState& state, int width) {
  const double share =
      static_cast<double>(state.done) / static_cast<double>(state.total);
  const int filled = std::clamp(static_cast<int>(share * width), 0, width);
  return '[' + std::string(filled, '#') + std::string(width - filled, '.') + ']' +
         printed(" %3.0f %%", std::min(100.0, 100 * share)) + "  ";
}

// The phase that is shown, for announce_progress.
std::mutex current_mutex;
Progress* current = nullptr;

}  // namespace

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::min(seconds, 1e9) + 0.5);
  char buffer[32];
  const auto hours = static_cast<long>(whole / 3600);
  const int minutes = whole / 60 % 60, rest = whole % 60;
  if (hours > 0) {
    std::snprintf(buffer, sizeof buffer, "%ld:%02d:%02d", hours, minutes, rest);
  } else {
    std::snprintf(buffer, sizeof buffer, "%d:%02d", minutes, rest);
  }
  return buffer;
}

std::string progress_bar(const ProgressState& state, int width) {
  const std::string label = state.label + "  ", numbers = numbers_text(state, "  ");
  const int free = width - static_cast<int>(label.size() + numbers.size());
  const int bar = std::min(kWidestBar, free - 9);  // brackets, percentage, spaces
  const bool has_bar = state.total > 0 && bar >= kNarrowestBar;
  std::string line = label + (has_bar ? bar_text(state, bar) : "") + numbers;
  if (!state.note.empty()) line += "  " + state.note;
  return line.substr(0, std::max(width, 0));
}

std::string progress_line(const ProgressState& state) {
  const std::string note = state.note.empty() ? "" : ", " + state.note;
  return state.label + ": " + numbers_text(state, ", ") + note;
}

Progress::Progress(std::string label, std::string unit, int64_t total)
    : on_terminal_(is_terminal(stderr)) {
  state_.label = std::move(label);
  state_.unit = std::move(unit);
  state_.total = total;
  if (on_terminal_) show();
  std::lock_guard lock(current_mutex);
  current = this;
}

Progress::~Progress() {
  {
    std::lock_guard lock(current_mutex);
    if (current == this) current = nullptr;
  }
  if (on_terminal_) show_status("");
}

void Progress::advance(int64_t count) {
  std::lock_guard lock(mutex_);
  state_.done += count;
  const auto now = Clock::now();
  if (now - shown_ < (on_terminal_ ? Clock::duration(kTerminalPause) : kPipePause)) {
    return;
  }
  shown_ = now;
  show();
}

void Progress::skip(int64_t count) {
  std::lock_guard lock(mutex_);
  state_.total -= count;
}

void Progress::note(std::string text) {
  std::lock_guard lock(mutex_);
  state_.note = std::move(text);
}

void Progress::announce(std::string text) {
  std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  const bool begins = state_.note.empty() && !text.empty();
  const bool due = on_terminal_ || begins || now - shown_ >= kPipePause;
  state_.note = std::move(text);
  if (!due || (state_.note.empty() && !on_terminal_)) return;
  shown_ = now;
  show();
}

void announce_progress(const std::string& text) {
  std::lock_guard lock(current_mutex);
  if (current != nullptr) current->announce(text);
}

void Progress::show() {
  const std::chrono::duration<double> elapsed = Clock::now() - start_;
  state_.elapsed_s = elapsed.count();
  if (on_terminal_) {
    show_status(progress_bar(state_, terminal_width() - 1));
  } else {
    print_line(stderr, progress_line(state_));
  }
}

}  // namespace pupil
