#include "train/run_dir.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <stdexcept>

#include "base/json.h"
#include "base/screen.h"
#include "formats/tfevents.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;

double wall_time() {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

std::string event_line(const nlohmann::ordered_json& row) {
  std::vector<std::pair<std::string, float>> scalars;
  for (const auto& [name, value] : row.items()) {
    if (name != "step" && value.is_number())
      scalars.emplace_back(name, value.get<float>());
  }
  return scalar_record(wall_time(), row.at("step").get<int64_t>(), scalars);
}

fs::path prepared(const fs::path& path, bool resume) {
  check_run_dir(path, resume);
  std::error_code error;
  fs::create_directories(path / "adapters", error);
  if (error) {
    throw std::runtime_error(
        "[run] cannot create " + path.string() + ": " + error.message());
  }
  return path;
}

bool is_evaluation(const nlohmann::json& row) {
  for (const auto& [name, value] : row.items()) {
    if (name.starts_with("eval_")) return true;
  }
  return false;
}

// Whether the line is a row of what was done up to a checkpoint.
bool is_before(const std::string& line, int step, int evaluated_step) {
  auto row = nlohmann::json::parse(line, nullptr, false);
  if (!row.is_object() || !row.contains("step") || !row["step"].is_number_integer()) {
    return false;
  }
  int of = row["step"].get<int>();
  return of <= step && (of <= evaluated_step || !is_evaluation(row));
}

}  // namespace

void check_run_dir(const fs::path& path, bool resume) {
  bool has_run = fs::exists(path / "config.yaml");
  if (has_run && !resume) {
    throw std::invalid_argument(
        "[run] " + path.string() +
        " holds a run already; go on with --resume, or choose another "
        "--logging.run_dir");
  }
  if (!has_run && resume) {
    throw std::invalid_argument(
        "[run] " + path.string() + " holds no run to resume (no config.yaml)");
  }
}

void truncate_rows(const fs::path& path, int step, int evaluated_step) {
  std::ifstream in(path, std::ios::binary);
  uintmax_t keep = 0;
  for (std::string line; std::getline(in, line);) {
    bool torn = in.eof();  // no newline at its end
    if (torn || !is_before(line, step, evaluated_step)) break;
    keep += line.size() + 1;
  }
  in.close();
  if (fs::exists(path)) fs::resize_file(path, keep);
}

RunDir::RunDir(
    fs::path path, bool resume, const std::string& adapter_config, RunOrigin origin)
    : path_(prepared(path, resume)),
      lock_(path_ / ".lock"),
      origin_(std::move(origin)),
      checkpoints_(path_ / "checkpoints", adapter_config, origin_),
      log_(path_ / "log.txt"),
      metrics_(path_ / "metrics.jsonl"),
      rollouts_(path_ / "rollouts.jsonl") {}

void RunDir::print(const std::string& line) {
  print_line(stdout, line);
  log_.add(line);
}

void RunDir::log(const std::string& line) {
  log_.add(line);
}

void RunDir::warn(const std::string& line) {
  log_warning(line);
}

void RunDir::start_tensorboard() {
  auto folder = path_ / "tensorboard";
  fs::create_directories(folder);
  auto name = "events.out.tfevents." + std::to_string(std::time(nullptr)) + ".pupil." +
              std::to_string(::getpid());
  events_.emplace(folder / name);
  add(*events_, event_file_header(wall_time()));
}

void RunDir::add_histogram(
    const std::string& name, int step, std::span<const double> values) {
  if (events_) add(*events_, histogram_record(wall_time(), step, name, values));
}

void RunDir::add_text(const std::string& name, int step, std::string_view text) {
  if (events_) add(*events_, text_record(wall_time(), step, name, text));
}

void RunDir::add_metrics(const nlohmann::ordered_json& row) {
  if (events_) add(*events_, event_line(row));
  add(metrics_, json_text(row) + "\n");
}

void RunDir::add_rollouts(std::span<const nlohmann::ordered_json> rows) {
  std::string lines;
  for (const auto& row : rows) {
    lines += json_text(row) + "\n";
  }
  add(rollouts_, lines);
}

void RunDir::add(RowFile& file, std::string_view rows) {
  auto problem = file.append(rows);
  if (!problem.empty() && !rows_wait_)
    warn(problem + "; training goes on, its rows wait in memory for room");
  rows_wait_ = metrics_.waits() || rollouts_.waits() || (events_ && events_->waits());
}

void RunDir::write(const std::string& name, std::string_view content) {
  write_file_atomically(path_ / name, content);
}

void RunDir::save(
    const Learner& learner,
    int step,
    const nlohmann::json& trainer,
    const KeptCheckpoints& kept) {
  // The rows of the steps before must not be newer than the checkpoint on disk.
  metrics_.sync();
  rollouts_.sync();
  checkpoints_.save(learner, step, trainer, kept);
  publish(learner, checkpoints_.of_step(step));
}

void RunDir::publish_if_missed(const Learner& learner, int step) {
  if (holds_exported(learner, path_ / "adapters" / "adapters.safetensors")) return;
  publish(learner, checkpoints_.of_step(step));
}

// File by file: the weights are replaced whole, and adapter_config.json never changes.
void RunDir::publish(const Learner& learner, const fs::path& checkpoint) {
  const char* config = "adapter_config.json";
  write_file_atomically(path_ / "adapters" / config, read_file(checkpoint / config));
  write_exported(learner, path_ / "adapters" / "adapters.safetensors");
}

std::optional<TrainState> RunDir::load(const Learner& learner) {
  auto warning = [&](const std::string& line) { warn(line); };
  auto state = checkpoints_.load(learner, warning);
  int step = -1, evaluated_step = -1;
  if (state) {
    check_origin(state->origin, origin_, warning);
    step = state->step;
    evaluated_step = state->trainer.value("evaluated_step", step);
  }
  for (const char* name : {"metrics.jsonl", "rollouts.jsonl"}) {
    truncate_rows(path_ / name, step, evaluated_step);
  }
  if (events_) add(*events_, session_start_record(wall_time(), step + 1));
  return state;
}

std::string RunDir::last_checkpoint() const {
  auto newest = checkpoints_.newest();
  return newest.empty() ? "none" : newest.string();
}

std::string RunDir::checkpoint_of(int step) const {
  return checkpoints_.exported_of_step(step).string();
}

}  // namespace pupil
