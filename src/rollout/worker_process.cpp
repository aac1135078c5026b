#include "rollout/worker_process.h"

#include <chrono>
#include <cstring>
#include <filesystem>
#include <limits>

#include "base/quote.h"

namespace pupil {

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kEndingSeconds = 0.5;  // from the end of its stdout to its own

Clock::time_point after(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(std::min(seconds, 1e7)));
}

ProcessOptions process_options(const WorkerOptions& options) {
  ProcessOptions process;
  process.argv = options.command;
  process.environment = options.environment;
  process.directory = std::filesystem::current_path().string();
  process.keep_input_open = true;
  process.wall_s = std::numeric_limits<double>::infinity();
  process.output_bytes = options.line_bytes;
  process.error_bytes = kErrorsOfOneStep;
  process.before_exec = die_with_parent;
  return process;
}

std::string seconds_text(double seconds) {
  std::string text = std::to_string(seconds);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + " s";
}

}  // namespace

WorkerProcess::WorkerProcess(const WorkerOptions& options)
    : options_(options),
      child_(process_options(options)),
      errors_(options.errors_path) {
  const auto& trouble = child_.result().start_error;
  if (!trouble.empty()) throw WorkerTrouble(trouble);
}

WorkerProcess::~WorkerProcess() {
  child_.close_input();
  auto end = after(options_.end_s);
  while (!child_.finished() && Clock::now() < end) {
    pump(0.02);
    child_.output().clear();
    child_.renew_output_limit();
  }
  child_.kill();
  while (!child_.finished()) pump(0.02);
}

void WorkerProcess::send(std::string_view line) {
  child_.send(line);
  child_.send("\n");
}

std::string WorkerProcess::receive() {
  auto seconds = greeted_ ? options_.timeout_s : options_.start_s;
  auto deadline = after(seconds);
  while (true) {
    if (auto line = take_line()) {
      greeted_ = true;
      return *line;
    }
    if (child_.result().output_exceeded) {
      throw WorkerTrouble(
          "wrote more than " + std::to_string(options_.line_bytes) +
          " bytes without an end of line");
    }
    if (child_.output_closed()) throw WorkerTrouble(how_it_ended());
    if (Clock::now() >= deadline) {
      throw WorkerTrouble(
          "said nothing for " + seconds_text(seconds) + " (rollout." +
          (greeted_ ? "worker_timeout_s)" : "worker_start_s)"));
    }
    pump(0.05);
  }
}

void WorkerProcess::expect_silence() {
  pump(0);
  if (child_.output_closed()) throw WorkerTrouble(how_it_ended());
  const auto& output = child_.output();
  if (output.empty()) return;
  throw WorkerTrouble("said what nobody asked for: " + in_quotes(output, 120));
}

void WorkerProcess::pump(double wait_s) {
  Child* const child = &child_;
  Child::pump({&child, 1}, wait_s);
  errors_.take(child_.errors());
}

std::optional<std::string> WorkerProcess::take_line() {
  auto& output = child_.output();
  auto end = output.find('\n', searched_);
  searched_ = end == output.npos ? output.size() : 0;
  if (end == output.npos) return std::nullopt;
  auto line = output.substr(0, end);
  output.erase(0, end + 1);
  child_.renew_output_limit();
  return line;
}

/// For when its stdout is closed: waits a moment for the exit code.
std::string WorkerProcess::how_it_ended() {
  auto end = after(kEndingSeconds);
  while (!child_.finished() && Clock::now() < end) pump(0.02);
  const char* where = child_.output().empty() ? "" : " in the middle of a line";
  const auto& result = child_.result();
  if (!child_.finished()) return std::string("closed its stdout") + where;
  if (result.signal != 0)
    return std::string("was ended by ") + ::strsignal(result.signal) + where;
  return "ended with exit code " + std::to_string(result.exit_code) + where;
}

}  // namespace pupil
