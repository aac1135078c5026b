// A worker of ours and a client that speaks to it line by line.

#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/process.h"

namespace pupil::testing {

class WorkerClient {
 public:
  /// `pupil worker` with these arguments; has said hello when it returns.
  explicit WorkerClient(const std::vector<std::string>& arguments)
      : child_(options_of(arguments)) {
    hello = receive();
  }

  nlohmann::json ask(const nlohmann::json& request) {
    send(json_text(request) + "\n");
    return receive();
  }

  void send(const std::string& bytes) { child_.send(bytes); }

  /// The next line; null where none comes within `seconds`.
  nlohmann::json receive(double seconds = 60) {
    auto end = Clock::now() + std::chrono::duration<double>(seconds);
    Child* children[] = {&child_};
    while (true) {
      auto& output = child_.output();
      if (auto line = output.find('\n'); line != std::string::npos) {
        auto text = output.substr(0, line);
        output.erase(0, line + 1);
        return nlohmann::json::parse(text);
      }
      if (child_.finished() || Clock::now() > end) return nullptr;
      Child::pump(children, 0.05);
    }
  }

  /// Closes its stdin and waits for its end.
  const ProcessResult& finish() {
    child_.close_input();
    Child* children[] = {&child_};
    while (!child_.finished()) Child::pump(children, 0.05);
    return child_.result();
  }

  Child& child() { return child_; }

  nlohmann::json hello;

 private:
  using Clock = std::chrono::steady_clock;

  static ProcessOptions options_of(const std::vector<std::string>& arguments) {
    ProcessOptions options;
    options.argv = {PUPIL_EXECUTABLE, "worker"};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.environment = {"PATH=/usr/bin:/bin"};
    options.keep_input_open = true;
    options.wall_s = 300;
    options.output_bytes = size_t{1} << 30;
    options.error_bytes = 1 << 16;
    return options;
  }

  Child child_;
};

}  // namespace pupil::testing
