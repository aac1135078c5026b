// A reward program of the user's: started once, asked line by line over JSON Lines
// (docs/rewards.md), held to deadlines, started again when it fails, given up in the
// end. It is the user's own and runs with the user's rights, in no sandbox.

#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/child_errors.h"
#include "base/process.h"
#include "data/types.h"

namespace pupil {

struct ProgramOptions {
  std::string name;                      // of the reward; begins every message
  std::vector<std::string> command;      // command[0] is looked up along the PATH
  std::vector<std::string> environment;  // "NAME=value"; the whole environment
  std::string stderr_path;               // its stderr is added there; empty: nowhere
  double timeout_s = 60;                 // of one request, the start included
  double backoff_s = 0.25;               // before the second start in a row; doubles
  int max_failures = 5;                  // in a row; then it is given up
};

/// What a program said to one request.
struct ProgramAnswer {
  std::vector<Score> scores;  // one for each item
  std::string trouble;        // not empty: there are none, and why, in one line
};

/// One program and its process. All calls come from one thread, which outlives it: on
/// Linux the process is killed when that thread ends, so that it cannot outlive us.
class RewardProgram {
 public:
  /// Starts nothing yet. Throws std::invalid_argument if there is no such program.
  explicit RewardProgram(ProgramOptions options);
  /// Closes its stdin, gives it a second to end, kills it.
  ~RewardProgram();
  RewardProgram(const RewardProgram&) = delete;
  RewardProgram& operator=(const RewardProgram&) = delete;

  /// Sends one request and waits for its reply. Whatever goes wrong, the process is
  /// killed and reaped, and the next request starts another.
  ProgramAnswer ask(const nlohmann::ordered_json& items);

  /// Starts it and looks for a second whether it stays: "", or why not. For
  /// mistakes in the command, which should not wait for the first request.
  std::string trouble_at_start();

  /// After `max_failures` in a row nothing is asked any more.
  bool given_up() const { return failures_ >= options_.max_failures; }
  const std::string& name() const { return options_.name; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Request {
    int64_t id;
    size_t num_items;
    Clock::time_point deadline;
  };

  ProgramAnswer attempt(const nlohmann::ordered_json& items);
  ProgramAnswer wait_for(const Request& request);
  bool read_lines(const Request& request, ProgramAnswer& answer);
  void note_noise(std::string_view line);
  bool ended_by_itself();
  void wait_before_start() const;
  std::string start();
  void pump(double wait_s);
  std::string how_it_ended() const;
  void stop();

  ProgramOptions options_;
  std::string path_;  // of the executable
  std::unique_ptr<Child> child_;
  int64_t next_id_ = 1;
  int failures_ = 0;           // in a row
  bool has_answered_ = false;  // this process
  bool noted_noise_ = false;
  std::string last_trouble_;
  ChildErrors errors_;
};

}  // namespace pupil
