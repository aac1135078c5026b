#include "train/report.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "base/markdown.h"
#include "base/progress.h"
#include "base/table.h"
#include "train/bootstrap.h"
#include "train/interval_json.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

Json to_json(const BestCheckpoint& best) {
  return {
      {"step", best.step},
      {"metric", best.metric},
      {"value", best.value},
      {"checkpoint", best.folder}};
}

// "best: ...", a line; nothing where there were no evaluations on the way.
std::string best_line(const Json& report) {
  if (!report.contains("best")) return "";
  const auto& best = report["best"];
  char value[32];
  std::snprintf(value, sizeof value, "%.3f", best["value"].get<double>());
  return "best: step " + best["step"].dump() + ", " +
         best["metric"].get<std::string>() + " " + value + ", " +
         best["checkpoint"].get<std::string>() + "\n";
}

// The first task whose mean reward rose most.
size_t best_example(const Evaluation& before, const Evaluation& after) {
  size_t best = 0;
  double largest = -1e300;
  for (size_t i = 0; i < before.task_ids.size(); ++i) {
    const auto &was = before.values[0][i], &is = after.values[0][i];
    if (was && is && *is - *was > largest) largest = *is - *was, best = i;
  }
  return best;
}

Table table_of(const Json& report) {
  Table table{{"metric", "before [95 %]", "after [95 %]", "difference [95 %]"}, {}};
  for (const auto& [name, before] : report["before"].items()) {
    table.rows.push_back(
        {name,
         interval_text(before, false),
         interval_text(report["after"][name], false),
         interval_text(report["difference"][name], true)});
  }
  return table;
}

std::string summary_of(const Json& report) {
  return "Held-out tasks, seed " + report["seed"].dump() + ", " +
         report["steps"].dump() + " steps, " +
         duration_text(report["seconds"].get<double>()) +
         " of training. Intervals are bootstraps over tasks; the difference is "
         "paired.\n\n";
}

// Four spaces before every line; control characters are shown, not sent.
std::string indented(const std::string& text) {
  std::string out = "    ";
  for (char c : text) {
    bool is_control = static_cast<unsigned char>(c) < 32 || c == 127;
    if (c == '\n') {
      out += "\n    ";
    } else if (!is_control || c == '\t') {
      out += c;
    }
  }
  return out + "\n";
}

}  // namespace

Json report_json(
    const Evaluation& before, const Evaluation& after, const RunSummary& summary) {
  if (before.task_ids != after.task_ids) {
    throw std::invalid_argument("[report] before and after are of different tasks");
  }
  Json report = {{"seed", summary.seed}};
  for (const char* part : {"before", "after", "difference"})
    report[part] = Json::object();
  for (size_t m = 0; m < before.metrics.size(); ++m) {
    const auto& name = before.metrics[m];
    auto same = std::find(after.metrics.begin(), after.metrics.end(), name);
    if (same == after.metrics.end()) continue;
    const auto &was = before.values[m],
               &is = after.values[same - after.metrics.begin()];
    auto difference = bootstrap_difference(was, is, summary.seed);
    if (difference.count == 0) continue;
    report["before"][name] = to_json(bootstrap_mean(was, summary.seed));
    report["after"][name] = to_json(bootstrap_mean(is, summary.seed));
    report["difference"][name] = to_json(difference);
  }
  report["steps"] = summary.steps;
  report["seconds"] = summary.seconds;
  if (summary.best) report["best"] = to_json(*summary.best);
  if (!before.task_ids.empty()) {
    size_t i = best_example(before, after);
    report["example"] = {
        {"task", before.task_ids[i]},
        {"prompt", before.prompts[i]},
        {"before", before.answers[i]},
        {"after", after.answers[i]}};
  }
  return report;
}

std::string report_text(const Json& report) {
  std::string text = "\n";
  text += summary_of(report) + terminal_table(table_of(report)) + best_line(report);
  if (!report.contains("example")) return text;
  const auto& example = report["example"];
  auto part = [&](std::string title, const char* key) {
    title.insert(0, 1, '\n');
    return title + "\n" + indented(example[key].get<std::string>());
  };
  text += "\nThe task that gained most: " + example["task"].get<std::string>() + "\n";
  return text + part("prompt", "prompt") + part("before (a median answer)", "before") +
         part("after (a median answer)", "after");
}

std::string report_markdown(const Json& report) {
  std::string text = "# Before and after\n\n" + summary_of(report);
  text += markdown_table(table_of(report));
  if (report.contains("best")) text += "\n" + best_line(report);
  if (!report.contains("example")) return text;
  const auto& example = report["example"];
  auto part = [&](const char* key) { return fenced(example[key].get<std::string>()); };
  text +=
      "\n## The task that gained most: " + example["task"].get<std::string>() + "\n\n";
  return text + part("prompt") + "\nBefore, a median answer:\n\n" + part("before") +
         "\nAfter, a median answer:\n\n" + part("after");
}

}  // namespace pupil
