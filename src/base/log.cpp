#include "base/log.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/dist_sink.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <mutex>
#include <stdexcept>

#include "base/screen.h"

namespace pupil {

namespace {

/// Lines on stderr, above a progress bar.
class ScreenSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string text(message.payload.data(), message.payload.size());
    const bool is_plain = message.level < spdlog::level::warn;
    const auto level = spdlog::level::to_string_view(message.level);
    const std::string prefix =
        is_plain ? "" : "pupil: " + std::string(level.data(), level.size()) + ": ";
    print_line(stderr, prefix + text);
  }
  void flush_() override {}
};

// The sinks of the default logger; LogFile adds to it and takes back.
const std::shared_ptr<spdlog::sinks::dist_sink_mt>& sinks() {
  static const auto all = std::make_shared<spdlog::sinks::dist_sink_mt>();
  return all;
}

}  // namespace

struct LogFile::Sink {
  std::shared_ptr<spdlog::sinks::basic_file_sink_mt> file;
};

void start_log() {
  sinks()->set_sinks({std::make_shared<ScreenSink>()});
  auto logger = std::make_shared<spdlog::logger>("pupil", sinks());
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

LogFile::LogFile(const std::filesystem::path& path) : sink_(std::make_shared<Sink>()) {
  try {
    sink_->file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string());
  } catch (const spdlog::spdlog_ex& error) {
    throw std::runtime_error("[log] " + path.string() + ": " + error.what());
  }
  sink_->file->set_pattern("%Y-%m-%d %H:%M:%S %l %v");
  sinks()->add_sink(sink_->file);
}

LogFile::~LogFile() {
  sinks()->remove_sink(sink_->file);
}

void LogFile::add(const std::string& text) {
  // A logger, unlike a sink, survives a full disk.
  spdlog::logger logger("pupil", sink_->file);
  logger.info("{}", text);
  logger.flush();
}

void log_info(const std::string& text) {
  spdlog::info("{}", text);
}
void log_warning(const std::string& text) {
  spdlog::warn("{}", text);
}
void log_error(const std::string& text) {
  spdlog::error("{}", text);
}

}  // namespace pupil
