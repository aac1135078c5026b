// `pupil runs`: the runs of a folder and how they fare.

#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "app/commands.h"
#include "base/json.h"
#include "base/table.h"
#include "train/run_overview.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

struct RunsOptions {
  std::string folder = "runs";
  bool json = false;
};

std::string number_text(const std::optional<double>& value) {
  if (!value) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", *value);
  return text;
}

// "40 s", "12 min", "3 h", "5 d".
std::string age_text(int64_t seconds) {
  constexpr std::pair<int64_t, const char*> kUnits[] = {
      {86400, " d"}, {3600, " h"}, {60, " min"}};
  for (auto [length, unit] : kUnits) {
    if (seconds >= 2 * length) return std::to_string(seconds / length) + unit;
  }
  return std::to_string(seconds) + " s";
}

std::string steps_text(const RunOverview& run) {
  auto done = std::to_string(run.step);
  return run.max_steps > 0 ? done + "/" + std::to_string(run.max_steps) : done;
}

Json as_json(const RunOverview& run) {
  auto number = [](const auto& value) { return value ? Json(*value) : Json(); };
  return {
      {"run", run.name},
      {"state", name_of(run.state)},
      {"step", run.step},
      {"max_steps", run.max_steps > 0 ? Json(run.max_steps) : Json()},
      {"reward", number(run.reward)},
      {"metric", run.metric},
      {"best", number(run.best)},
      {"best_step", run.best ? Json(run.best_step) : Json()},
      {"age_s", run.age_s},
      {"message", run.message}};
}

void print_table(const std::vector<RunOverview>& runs) {
  Table table{{"run", "state", "steps", "reward", "best evaluation", "age"}, {}};
  for (const auto& run : runs) {
    auto best = number_text(run.best);
    if (run.best) best += " at " + std::to_string(run.best_step);
    table.rows.push_back(
        {run.name,
         name_of(run.state),
         steps_text(run),
         number_text(run.reward),
         best,
         age_text(run.age_s)});
  }
  std::printf("%s", terminal_table(table).c_str());
  for (const auto& run : runs) {
    if (run.state == RunState::failed)
      std::printf("%s: %s\n", run.name.c_str(), run.message.c_str());
  }
}

void list_runs(const RunsOptions& options) {
  if (!std::filesystem::is_directory(options.folder)) {
    throw std::invalid_argument(
        "[runs] there is no folder " + options.folder +
        "; name the one that holds the run directories");
  }
  auto runs = overviews_of(options.folder);
  if (options.json) {
    auto rows = Json::array();
    for (const auto& run : runs) rows.push_back(as_json(run));
    std::printf("%s\n", json_text(rows).c_str());
  } else if (runs.empty()) {
    std::printf("no runs in %s\n", options.folder.c_str());
  } else {
    print_table(runs);
  }
}

}  // namespace

void add_runs(CLI::App& app) {
  auto options = std::make_shared<RunsOptions>();
  auto* command = app.add_subcommand(
      "runs", "The runs of a folder: state, steps, reward, best evaluation, age");
  command->add_option("folder", options->folder, "what holds the run directories")
      ->capture_default_str();
  command->add_flag("--json", options->json, "one list of objects");
  command->callback([options] { list_runs(*options); });
}

}  // namespace pupil
