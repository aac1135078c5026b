// `pupil diff`: what two runs were told and what came of it.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include "app/commands.h"
#include "base/json.h"
#include "base/table.h"
#include "config/load_config.h"
#include "train/run_dir.h"
#include "train/run_overview.h"

namespace pupil {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kLastSteps = 10;  // a single step is noise

struct DiffOptions {
  std::string a, b;
  bool json = false;
};

struct Difference {
  std::string key;
  std::string a, b;
};

std::vector<Difference> config_differences(const DiffOptions& options) {
  std::vector<Difference> differences;
  auto a = config_values(load_config(options.a + "/config.yaml", {}));
  auto b = config_values(load_config(options.b + "/config.yaml", {}));
  for (size_t i = 0; i < a.size(); ++i) {
    const auto& [key, value] = a[i];
    if (key != "logging.run_dir" && value != b[i].second)
      differences.push_back({key, value, b[i].second});
  }
  return differences;
}

// Of the last steps that have it.
std::optional<double> last_mean(const std::vector<Json>& rows, const std::string& key) {
  double sum = 0;
  size_t count = 0;
  for (size_t i = rows.size(); i-- > 0 && count < kLastSteps;) {
    auto found = rows[i].find(key);
    if (found == rows[i].end() || !found->is_number()) continue;
    sum += found->get<double>();
    ++count;
  }
  if (count == 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

bool is_shown(const std::string& key) {
  constexpr const char* kShown[] = {
      "reward",
      "reward_std",
      "frac_reward_zero_std",
      "kl",
      "entropy",
      "loss",
      "grad_norm",
      "completions/mean_length",
      "completions/clipped_ratio",
      "step_time",
      "speed/generate",
      "speed/update",
      "memory/peak_gb"};
  bool is_reward = key.starts_with("rewards/") && key.ends_with("/mean");
  return is_reward ||
         std::find(std::begin(kShown), std::end(kShown), key) != std::end(kShown);
}

// The evaluation after training, under the names of metrics.jsonl's evaluations.
void add_report(const std::string& run_dir, std::map<std::string, double>& metrics) {
  auto path = run_dir + "/report.json";
  if (!fs::exists(path)) return;
  auto report = read_json_file(path);
  for (const auto& [name, value] : report.at("after").items()) {
    metrics["after: " + name] = value.at("mean").get<double>();
  }
}

std::map<std::string, double> final_metrics(const std::string& run_dir) {
  auto rows = metrics_of(run_dir);
  std::map<std::string, double> metrics;
  for (const auto& row : rows) {
    for (const auto& [key, value] : row.items()) {
      if (!is_shown(key) || metrics.contains(key)) continue;
      if (auto mean = last_mean(rows, key)) metrics[key] = *mean;
    }
  }
  add_report(run_dir, metrics);
  return metrics;
}

std::string number_text(std::optional<double> value, bool is_signed = false) {
  if (!value) return "-";
  char text[48];
  std::snprintf(text, sizeof text, is_signed ? "%+.4g" : "%.4g", *value);
  return text;
}

using MetricPairs =
    std::map<std::string, std::pair<std::optional<double>, std::optional<double>>>;

MetricPairs metric_pairs(const DiffOptions& options) {
  MetricPairs pairs;
  for (auto [key, value] : final_metrics(options.a)) pairs[key].first = value;
  for (auto [key, value] : final_metrics(options.b)) pairs[key].second = value;
  return pairs;
}

void print_json(const std::vector<Difference>& config, const MetricPairs& metrics) {
  auto number = [](const auto& value) { return value ? Json(*value) : Json(); };
  Json json = {{"config", Json::object()}, {"metrics", Json::object()}};
  for (const auto& d : config) json["config"][d.key] = {d.a, d.b};
  for (const auto& [key, values] : metrics) {
    json["metrics"][key] = {number(values.first), number(values.second)};
  }
  std::printf("%s\n", json_text(json).c_str());
}

void print_tables(
    const DiffOptions& options,
    const std::vector<Difference>& config,
    const MetricPairs& metrics) {
  Table keys{{"config", options.a, options.b}, {}};
  for (const auto& d : config) keys.rows.push_back({d.key, d.a, d.b});
  if (config.empty()) std::printf("the same config\n");
  if (!config.empty()) std::printf("%s", terminal_table(keys).c_str());
  auto heading = "last " + std::to_string(kLastSteps) + " steps";
  Table table{{heading, options.a, options.b, "difference"}, {}};
  for (const auto& [key, values] : metrics) {
    auto [a, b] = values;
    auto change = a && b ? std::optional(*b - *a) : std::nullopt;
    table.rows.push_back(
        {key, number_text(a), number_text(b), number_text(change, true)});
  }
  std::printf("\n%s", terminal_table(table).c_str());
}

void compare(const DiffOptions& options) {
  check_run_dir(options.a, true);
  check_run_dir(options.b, true);
  auto config = config_differences(options);
  auto metrics = metric_pairs(options);
  options.json ? print_json(config, metrics) : print_tables(options, config, metrics);
}

}  // namespace

void add_diff(CLI::App& app) {
  auto options = std::make_shared<DiffOptions>();
  auto* command = app.add_subcommand(
      "diff", "Two runs: settings that differ, and final metrics side by side");
  command->add_option("a", options->a, "a run directory")->required();
  command->add_option("b", options->b, "another")->required();
  command->add_flag("--json", options->json, "one object");
  command->callback([options] { compare(*options); });
}

}  // namespace pupil
