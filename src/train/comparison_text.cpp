#include "train/comparison_text.h"

#include <cstdio>

#include "base/markdown.h"
#include "base/table.h"
#include "train/interval_json.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kBase = "base";
constexpr const char* kAdapter = "adapter";

bool compares(const Json& report) {
  return report.contains(kAdapter);
}

std::string text_at(const Json& object, const char* key) {
  return object.at(key).get<std::string>();
}

std::string number_text(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string samples_text(const Json& settings) {
  auto count = settings.at("samples").dump();
  auto temperature = settings.at("temperature").get<double>();
  if (temperature == 0) return "one greedy answer each";
  return count + (count == "1" ? " answer" : " answers") + " each at temperature " +
         number_text("%g", temperature);
}

std::string headline(const Json& settings) {
  std::string text =
      text_at(settings, "tasks") + ": " + settings.at("num_tasks").dump() + " tasks, " +
      samples_text(settings) + ", at most " + settings.at("max_tokens").dump() +
      " tokens, seed " + settings.at("seed").dump() +
      "\nbase: " + text_at(settings, "model") + "\n";
  const auto& adapter = settings.at("adapter");
  if (!adapter.is_null()) text += "adapter: " + adapter.get<std::string>() + "\n";
  return text + "\n";
}

Table table_of(const Json& report) {
  bool two = compares(report);
  Table table{{"metric", "base [95 %]"}, {}};
  if (two)
    table.header.insert(table.header.end(), {"adapter [95 %]", "difference [95 %]"});
  for (const auto& item : report.at(kBase).items()) {
    const std::string& name = item.key();
    auto& row = table.rows.emplace_back();
    row = {name, interval_text(item.value(), false)};
    if (!two) continue;
    auto cell = [&](const char* part, bool is_signed) {
      const auto& metrics = report.at(part);
      if (!metrics.contains(name)) return std::string("-");
      return interval_text(metrics[name], is_signed);
    };
    row.push_back(cell(kAdapter, false));
    row.push_back(cell("difference", true));
  }
  return table;
}

std::string interval_note(const Json& report) {
  const auto& base = report.at(kBase);
  bool wilson =
      base.contains("pass@1") && text_at(base["pass@1"], "interval") == "wilson";
  std::string text = wilson
                         ? "Intervals: Wilson's for pass@1, else bootstraps over tasks"
                         : "Intervals: bootstraps over tasks";
  return text + (compares(report) ? "; differences are paired.\n" : ".\n");
}

// How many samples of a policy had no verdict of the tests.
std::string untested_note(const Json& report) {
  if (!report.at(kBase).contains("tests")) return "no task could be tested\n";
  std::string text;
  for (const char* policy : {kBase, kAdapter}) {
    if (!report.contains(policy)) continue;
    int untested = 0;
    for (const auto& task : report.at("tasks")) {
      untested += report.at("settings").at("samples").get<int>() -
                  task.at(policy).at("tested").get<int>();
    }
    if (untested > 0)
      text +=
          std::string("answers of the ") + policy +
          " that could not be tested and do not count: " + std::to_string(untested) +
          "\n";
  }
  return text;
}

std::string flips_note(const Json& report) {
  if (!report.contains("flips")) return "";
  const auto& flips = report["flips"];
  return "solved by the adapter alone: " + std::to_string(flips.at("gained").size()) +
         " tasks, by the base alone: " + std::to_string(flips.at("lost").size()) +
         " (McNemar p = " + number_text("%.3g", flips.at("mcnemar_p").get<double>()) +
         ")\n";
}

std::string judge_note(const Json& report) {
  if (!report.contains("judge")) return "";
  const auto& judge = report["judge"];
  const auto& rate = judge.at("win_rate");
  std::string text = "judge: ";
  text += rate.is_null() ? "no pair was judged"
                         : "the adapter's answer wins " + interval_text(rate, false) +
                               " of pairs, ties half";
  for (const char* key : {"won", "tied", "lost", "unscored"})
    text += std::string(key == std::string("won") ? "; " : ", ") +
            judge.at(key).dump() + " " + key;
  return text + "\n";
}

std::string notes(const Json& report) {
  return interval_note(report) + untested_note(report) + flips_note(report) +
         judge_note(report);
}

std::string passes_text(const Json& policy) {
  return policy.at("passed").dump() + "/" + policy.at("tested").dump();
}

std::string value_text(const Json& policy, const char* key) {
  const auto& value = policy.at(key);
  return value.is_null() ? "-" : number_text("%.3f", value.get<double>());
}

Table task_table(const Json& report) {
  bool two = compares(report);
  Table table{{"task", "base passed", "base reward"}, {}};
  if (two)
    table.header.insert(table.header.end(), {"adapter passed", "adapter reward"});
  for (const auto& task : report.at("tasks")) {
    auto& row = table.rows.emplace_back();
    row = {text_at(task, "id")};
    for (const char* policy : {kBase, kAdapter}) {
      if (!task.contains(policy)) continue;
      row.push_back(passes_text(task[policy]));
      row.push_back(value_text(task[policy], "reward"));
    }
  }
  return table;
}

std::string flipped_markdown(const Json& report) {
  if (!report.contains("flipped") || report["flipped"].empty()) return "";
  std::string text = "\n## Tasks that flipped\n";
  const auto& gained = report.at("flips").at("gained");
  size_t at = 0;
  for (const auto& flipped : report["flipped"]) {
    text += "\n### " + text_at(flipped, "task") +
            (at++ < gained.size() ? ": gained\n\n" : ": lost\n\n");
    text += fenced(text_at(flipped, "prompt"));
    text += "\nThe base's answer:\n\n" + fenced(text_at(flipped, kBase));
    text += "\nThe adapter's answer:\n\n" + fenced(text_at(flipped, kAdapter));
  }
  return text;
}

// Lines of plain text as a Markdown list.
std::string as_list(const std::string& lines) {
  std::string text;
  bool begins = true;
  for (char c : lines) {
    if (begins && c != '\n') text += "- ";
    text += c;
    begins = c == '\n';
  }
  return text;
}

}  // namespace

std::string comparison_text(const Json& report) {
  return "\n" + headline(report.at("settings")) + terminal_table(table_of(report)) +
         notes(report);
}

std::string comparison_markdown(const Json& report) {
  return "# Evaluation\n\n" + as_list(headline(report.at("settings"))) +
         markdown_table(table_of(report)) + "\n" + as_list(notes(report)) +
         flipped_markdown(report) + "\n## Tasks\n\n" +
         markdown_table(task_table(report));
}

}  // namespace pupil
