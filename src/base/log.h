// Messages to the user and to a run's log.txt: spdlog's default logger, writing to
// stderr so that stdout stays a program's to read. Thread-safe.

#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace pupil {

/// Sends the log to stderr, "pupil: warning: ..." for warnings and errors, the text
/// alone below. `main` calls it before anything can log.
void start_log();

/// From now on every message also goes to the file, with date, time and level, until
/// the returned object is destroyed.
class LogFile {
 public:
  /// Appends. Throws std::runtime_error if the file cannot be written.
  explicit LogFile(const std::filesystem::path& path);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  /// A line for the file alone.
  void add(const std::string& text);

 private:
  struct Sink;
  std::shared_ptr<Sink> sink_;
};

void log_info(const std::string& text);
void log_warning(const std::string& text);
void log_error(const std::string& text);

}  // namespace pupil
