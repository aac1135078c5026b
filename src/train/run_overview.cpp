#include "train/run_overview.h"

#include <algorithm>
#include <chrono>
#include <fstream>

#include "base/json.h"
#include "train/best_evaluation.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Of the newest of the files that a run writes as it goes on.
int64_t age_of(const fs::path& run_dir) {
  auto newest = fs::file_time_type::min();
  for (const char* name : {"config.yaml", "metrics.jsonl", "status.json"}) {
    std::error_code error;
    auto time = fs::last_write_time(run_dir / name, error);
    if (!error) newest = std::max(newest, time);
  }
  auto age = fs::file_time_type::clock::now() - newest;
  return std::max<int64_t>(
      0, std::chrono::duration_cast<std::chrono::seconds>(age).count());
}

void take_row(RunOverview& run, const Json& row) {
  run.step = std::max(run.step, row.value("step", 0));
  if (auto reward = row.find("reward"); reward != row.end() && reward->is_number())
    run.reward = reward->get<double>();
  auto best = row.find(run.metric);
  if (best == row.end() || !best->is_number()) return;
  double value = best->get<double>();
  if (!run.best || value > *run.best) run.best = value, run.best_step = row["step"];
}

// What the report names, the evaluation after training included.
void take_report(RunOverview& run, const fs::path& path) {
  if (!fs::exists(path)) return;
  auto report = read_json_file(path.string());
  if (!report.contains("best")) return;
  run.best = report["best"].at("value").get<double>();
  run.best_step = report["best"].at("step").get<int>();
}

// The state of runs of before there was a status.json.
RunStatus status_of(const fs::path& run_dir) {
  if (auto status = read_status(run_dir)) return *status;
  bool reported = fs::exists(run_dir / "report.json");
  return {reported ? RunState::finished : RunState::interrupted, 0, "eval_reward", ""};
}

}  // namespace

std::vector<Json> metrics_of(const fs::path& run_dir) {
  std::vector<Json> rows;
  std::ifstream in(run_dir / "metrics.jsonl", std::ios::binary);
  for (std::string line; std::getline(in, line);) {
    auto row = Json::parse(line, nullptr, false);
    if (!row.is_object() || !row.contains("step") || !row["step"].is_number_integer())
      break;
    rows.push_back(std::move(row));
  }
  return rows;
}

RunOverview overview_of(const fs::path& run_dir) {
  auto status = status_of(run_dir);
  RunOverview run;
  run.name = run_dir.filename().string();
  run.max_steps = status.max_steps;
  run.message = status.message;
  bool prefixed = status.metric.starts_with("eval_");
  run.metric = prefixed ? status.metric : "eval_" + status.metric;
  bool at_work = is_at_work(run_dir);
  run.state = status.state;
  if (at_work) run.state = RunState::running;
  if (!at_work && status.state == RunState::running) run.state = RunState::interrupted;
  for (const auto& row : metrics_of(run_dir)) take_row(run, row);
  if (run.state == RunState::finished) take_report(run, run_dir / "report.json");
  run.age_s = age_of(run_dir);
  return run;
}

std::vector<RunOverview> overviews_of(const fs::path& folder) {
  std::vector<RunOverview> runs;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (fs::exists(entry.path() / "config.yaml"))
      runs.push_back(overview_of(entry.path()));
  }
  std::sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) {
    return a.age_s != b.age_s ? a.age_s < b.age_s : a.name < b.name;
  });
  return runs;
}

}  // namespace pupil
