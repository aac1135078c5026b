#include "app/eval_folder.h"

#include <filesystem>
#include <stdexcept>
#include <string_view>

#include "base/json.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kSettings = "/settings.json";
constexpr const char* kSamples = "/samples.jsonl";
constexpr const char* kScratch = "/scratch";

[[noreturn]] void refuse(const std::string& folder, const std::string& what) {
  throw std::invalid_argument("[eval] " + folder + " " + what);
}

std::string without_trailing_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

bool is_there(const std::string& folder) {
  if (!fs::exists(fs::symlink_status(folder))) return false;
  if (!fs::is_directory(folder)) refuse(folder, "exists and is no directory");
  return !fs::is_empty(folder);
}

// Ended before its first file was whole.
bool is_barely_begun(const std::string& partial) {
  for (const auto& entry : fs::directory_iterator(partial)) {
    auto name = "/" + entry.path().filename().string();
    if (name == kScratch) continue;
    if (name == kSettings || !name.starts_with(kSettings)) return false;
  }
  return true;
}

void make_folder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) {
    throw std::runtime_error("[eval] " + path + ": cannot create: " + error.message());
  }
}

// The first setting that differs.
void expect_same_settings(const std::string& folder, const Json& now) {
  if (!fs::exists(folder + kSettings)) {
    refuse(folder, "exists and holds no evaluation; choose another --out");
  }
  const auto saved = read_json_file(folder + kSettings);
  for (const auto& [key, value] : now.items()) {
    nlohmann::json was, is = value;  // compared whatever the order of their keys
    if (saved.is_object()) was = saved.value(key, was);
    if (was == is) continue;
    refuse(
        folder,
        "holds an evaluation with " + key + " " + json_text(was) + ", here it is " +
            json_text(value) + "; choose another --out, or remove that folder");
  }
}

Json row_of(
    const std::string& policy,
    const RolloutGroup& group,
    size_t row,
    const std::vector<std::string>& rewards) {
  const auto& rollout = group.rollouts[row];
  Json scores = Json::object(), reasons = Json::object();
  for (size_t k = 0; k < rewards.size(); ++k) {
    const auto& [value, reason] = rollout.scores[k];
    scores[rewards[k]] = value ? Json(*value) : Json();
    if (!reason.empty()) reasons[rewards[k]] = reason;
  }
  const auto& completion = rollout.completion;
  return {
      {"policy", policy},
      {"id", group.task.id},
      {"row", row},
      {"completion", completion.text},
      {"tokens", completion.tokens.size()},
      {"finish_reason", completion.finish == FinishReason::stop ? "stop" : "length"},
      {"reward", rollout.reward ? Json(*rollout.reward) : Json()},
      {"scores", scores},
      {"reasons", reasons}};
}

std::optional<double> number(const Json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<double>());
}

size_t length_of(const Json& tokens) {
  constexpr size_t kMost = 1 << 20;
  if (tokens.is_number_unsigned() && tokens.get<size_t>() <= kMost)
    return tokens.get<size_t>();
  throw std::invalid_argument("`tokens` is no length");
}

Rollout rollout_of(const Json& row, const std::vector<std::string>& rewards) {
  Rollout rollout;
  auto& completion = rollout.completion;
  completion.text = row.at("completion").get<std::string>();
  completion.tokens.resize(length_of(row.at("tokens")));  // only their number is known
  bool stopped = row.at("finish_reason") == "stop";
  completion.finish = stopped ? FinishReason::stop : FinishReason::length;
  rollout.reward = number(row.at("reward"));
  for (const auto& name : rewards) {
    rollout.scores.push_back(
        {number(row.at("scores").at(name)), row.at("reasons").value(name, "")});
  }
  return rollout;
}

// Of the whole lines; what a crash has cut comes last and is dropped.
std::deque<Json> rows_in(const std::string& text) {
  std::deque<Json> rows;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    auto line = std::string_view(text).substr(begin, end - begin);
    if (!Json::accept(line)) break;
    rows.push_back(Json::parse(line));
    begin = end + 1;
  }
  return rows;
}

}  // namespace

EvalFolder::EvalFolder(std::string out, Json settings)
    : out_(without_trailing_slashes(std::move(out))), settings_(std::move(settings)) {
  if (out_.empty()) return;
  partial_ = out_ + ".partial";
  if (is_there(out_)) expect_same_settings(out_, settings_);
  if (is_there(partial_) && !is_barely_begun(partial_))
    expect_same_settings(partial_, settings_);
}

std::optional<Json> EvalFolder::report() const {
  if (out_.empty() || !is_there(out_)) return std::nullopt;
  const auto path = out_ + "/report.json", text = read_file(path);
  parse_json(text, path);  // names the file if it is broken
  return Json::parse(text);
}

void EvalFolder::begin(std::vector<std::string> rewards, size_t n) {
  rewards_ = std::move(rewards);
  num_samples_ = n;
  if (out_.empty()) return;
  bool is_new = !is_there(partial_) || is_barely_begun(partial_);
  try {
    make_folder(partial_ + kScratch);
    lock_ = std::make_unique<FileLock>(scratch_path("lock"));
    if (is_new) write_file_atomically(partial_ + kSettings, json_text(settings_, 2));
    take_up();
  } catch (const std::exception&) {
    std::error_code ignored;  // what matters is why it failed
    if (is_new && lock_) fs::remove_all(partial_, ignored);
    if (is_new && !lock_) remove_if_unused();
    throw;
  }
}

// What could not be locked may be another's by now: then its lock has a process id.
void EvalFolder::remove_if_unused() const {
  std::error_code ignored;
  auto lock = scratch_path("lock");
  if (fs::exists(lock, ignored) && fs::file_size(lock, ignored) > 0) return;
  for (const auto& path : {lock, partial_ + kScratch, partial_})
    fs::remove(path, ignored);  // folders only if nothing is in them
}

void EvalFolder::take_up() {
  auto path = partial_ + kSamples;
  if (fs::exists(path)) kept_ = rows_in(read_file(path, uint64_t{1} << 33));
  while (kept_.size() % num_samples_ != 0) kept_.pop_back();
  std::string text;
  for (const auto& row : kept_) text += json_text(row) + "\n";
  write_file_atomically(path, text);
  samples_ = std::make_unique<AppendFile>(path);
}

bool EvalFolder::fill(const std::string& policy, RolloutGroup& group) {
  if (kept_.empty()) return false;
  group.rollouts.clear();
  for (size_t row = 0; row < num_samples_; ++row) {
    const auto& kept = kept_.front();
    try {
      bool fits = kept.at("policy") == policy && kept.at("id") == group.task.id &&
                  kept.at("row") == row;
      if (!fits) throw std::invalid_argument("of another task");
      group.rollouts.push_back(rollout_of(kept, rewards_));
    } catch (const std::exception& error) {
      refuse(
          partial_ + kSamples,
          "holds a sample that is not that of " + policy + ", task " + group.task.id +
              ", row " + std::to_string(row) + " (" + error.what() +
              "); remove that folder to begin again");
    }
    kept_.pop_front();
  }
  return true;
}

void EvalFolder::add(const std::string& policy, const RolloutGroup& group) {
  if (out_.empty()) return;
  std::string lines;
  for (size_t row = 0; row < group.rollouts.size(); ++row) {
    lines += json_text(row_of(policy, group, row, rewards_)) + "\n";
  }
  samples_->append(lines);
}

std::string EvalFolder::scratch_path(const std::string& name) const {
  return out_.empty() ? "" : partial_ + kScratch + "/" + name;
}

void EvalFolder::finish(const Json& report, const std::string& markdown) {
  if (out_.empty()) return;
  if (!kept_.empty()) refuse(partial_ + kSamples, "holds more samples than were asked");
  samples_->sync();
  write_file_atomically(partial_ + "/report.md", markdown);
  write_file_atomically(partial_ + "/report.json", json_text(report, 2) + "\n");
  lock_.reset();
  fs::remove_all(partial_ + kScratch);
  rename_durably(partial_, out_);
}

}  // namespace pupil
