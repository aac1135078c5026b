#include "reward/program.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <thread>

#include "base/json.h"
#include "base/log.h"
#include "base/quote.h"
#include "reward/program_reply.h"

namespace pupil {

namespace {

constexpr size_t kOutputBytes = 16u << 20;  // for one request, junk included
constexpr double kLongestBackoff = 8;
constexpr double kStartSeconds = 1;
constexpr double kEndSeconds = 1;
constexpr double kLongestTimeout = 1e7;  // what a clock can add

std::string executable(const ProgramOptions& options) {
  const std::string path = find_program(options.command.at(0));
  struct stat info {};
  const bool runs = !path.empty() && ::stat(path.c_str(), &info) == 0 &&
                    S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0;
  if (runs) return path;
  throw std::invalid_argument(
      "[config] reward.functions: " + options.name + ": no program " +
      in_quotes(options.command[0]) +
      " that can be run; expected a path or a name along the PATH");
}

std::string number_text(double value) {
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

RewardProgram::RewardProgram(ProgramOptions options)
    : options_(std::move(options)),
      path_(executable(options_)),
      errors_(options_.stderr_path) {}

RewardProgram::~RewardProgram() {
  if (!child_) return;
  child_->close_input();
  const auto end = Clock::now() + std::chrono::duration<double>(kEndSeconds);
  while (!child_->finished() && Clock::now() < end) {
    pump(0.02);
    child_->output().clear();
    child_->renew_output_limit();
  }
}

ProgramAnswer RewardProgram::ask(const nlohmann::ordered_json& items) {
  if (given_up()) return {{}, last_trouble_};
  if (ended_by_itself()) stop();  // after its last answer: nothing is lost
  const bool was_good = child_ && has_answered_;
  auto answer = attempt(items);
  // It may have ended on its own account, while the request was on its way.
  const bool again = was_good && !answer.trouble.empty() && ended_by_itself();
  if (again) {
    stop();
    answer = attempt(items);
  }
  if (answer.trouble.empty()) {
    failures_ = 0;
    has_answered_ = true;
    return answer;
  }
  stop();
  answer.trouble = options_.name + ": " + answer.trouble + errors_.ending();
  last_trouble_ = answer.trouble;
  if (++failures_ < options_.max_failures) return answer;
  last_trouble_ = options_.name + ": given up after " + std::to_string(failures_) +
                  " failures in a row; the last: " +
                  answer.trouble.substr(options_.name.size() + 2);
  return {{}, last_trouble_};
}

ProgramAnswer RewardProgram::attempt(const nlohmann::ordered_json& items) {
  if (!child_) {
    wait_before_start();
    const std::string trouble = start();
    if (!trouble.empty()) return {{}, trouble};
  }
  const Request request{
      next_id_++,
      items.size(),
      Clock::now() +
          std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
              std::min(options_.timeout_s, kLongestTimeout)))};
  child_->output().clear();  // nothing said before it is asked is an answer
  child_->renew_output_limit();
  child_->send(json_text(nlohmann::ordered_json{{"id", request.id}, {"items", items}}));
  child_->send("\n");
  return wait_for(request);
}

ProgramAnswer RewardProgram::wait_for(const Request& request) {
  ProgramAnswer answer;
  while (true) {
    pump(0.05);
    if (read_lines(request, answer)) return answer;
    if (child_->finished()) return {{}, how_it_ended()};
    if (Clock::now() < request.deadline) continue;
    return {
        {}, "no reply within " + number_text(options_.timeout_s) + " s (timeout_s)"};
  }
}

/// Takes the whole lines off its output. True: one of them was the reply, or meant as
/// one, and `answer` is set.
bool RewardProgram::read_lines(const Request& request, ProgramAnswer& answer) {
  std::string& output = child_->output();
  if (child_->finished() && !output.empty()) output += '\n';  // its last words
  size_t start = 0;
  bool found = false;
  for (size_t end; !found && (end = output.find('\n', start)) != output.npos;) {
    const auto text = std::string_view(output).substr(start, end - start);
    auto line = read_program_line(text, request.id, request.num_items);
    start = end + 1;
    found = line.kind != ProgramLine::Kind::noise;
    if (!found) note_noise(text);
    answer = {std::move(line.scores), std::move(line.trouble)};
  }
  output.erase(0, start);
  return found;
}

void RewardProgram::note_noise(std::string_view line) {
  if (noted_noise_ || line.find_first_not_of(" \t\r") == line.npos) return;
  noted_noise_ = true;
  log_warning(
      "[reward] " + options_.name +
      ": a line on its stdout that is no reply is passed over, as all such are: " +
      in_quotes(line) + "; messages belong on stderr");
}

/// Looks, without waiting, whether the process is gone.
bool RewardProgram::ended_by_itself() {
  if (!child_) return false;
  pump(0);
  return child_->finished() && !child_->result().output_exceeded;
}

void RewardProgram::wait_before_start() const {
  if (failures_ < 2) return;
  const double seconds =
      std::min(kLongestBackoff, options_.backoff_s * std::exp2(failures_ - 2));
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

std::string RewardProgram::start() {
  ProcessOptions options;
  options.argv = options_.command;
  options.argv[0] = path_;
  options.environment = options_.environment;
  options.directory = std::filesystem::current_path().string();
  options.keep_input_open = true;
  options.wall_s = std::numeric_limits<double>::infinity();
  options.output_bytes = kOutputBytes;
  options.error_bytes = kErrorsOfOneStep;
  options.before_exec = die_with_parent;
  errors_.forget();
  has_answered_ = false;
  child_ = std::make_unique<Child>(std::move(options));
  const std::string trouble = child_->result().start_error;
  if (!trouble.empty()) child_.reset();
  return trouble;
}

std::string RewardProgram::trouble_at_start() {
  std::string trouble = start();
  const auto end = Clock::now() + std::chrono::duration<double>(kStartSeconds);
  while (trouble.empty() && Clock::now() < end) {
    pump(0.02);
    if (child_->finished()) trouble = how_it_ended();
  }
  if (trouble.empty()) return "";
  stop();
  return trouble + errors_.ending();
}

void RewardProgram::pump(double wait_s) {
  Child* const child = child_.get();
  Child::pump({&child, 1}, wait_s);
  errors_.take(child->errors());
}

std::string RewardProgram::how_it_ended() const {
  const auto& result = child_->result();
  if (result.output_exceeded) {
    return "more than " + std::to_string(kOutputBytes >> 20) +
           " MiB on its stdout for one request";
  }
  if (result.signal != 0) return std::string("ended by ") + ::strsignal(result.signal);
  return "ended with exit code " + std::to_string(result.exit_code);
}

/// Kills and reaps it, and reads its last words.
void RewardProgram::stop() {
  if (!child_) return;
  child_->kill();
  while (!child_->finished()) {
    pump(0.02);
    child_->output().clear();
  }
  child_.reset();
}

}  // namespace pupil
