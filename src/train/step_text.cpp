#include "train/step_text.h"

#include <cstdio>
#include <cstring>
#include <functional>

#include "base/markdown.h"
#include "base/progress.h"

namespace pupil {

namespace {

using Json = nlohmann::ordered_json;

// "-" for a mean over nothing; no "-0.000".
std::string rounded(const Json& value, int digits) {
  if (!value.is_number()) return "-";
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value.get<double>());
  bool is_zero = std::strpbrk(text, "123456789") == nullptr;
  return is_zero && text[0] == '-' ? text + 1 : text;
}

// "  label 0.123", or nothing where the row has no such number.
std::string field(const Json& row, const char* label, const char* key, int digits) {
  if (!row.contains(key)) return "";
  return "  " + std::string(label) + " " + rounded(row[key], digits);
}

// What was sampled and what it earned.
std::string sampling_text(const Json& row) {
  std::string line =
      field(row, "reward", "reward", 3) + " +- " + rounded(row["reward_std"], 3);
  if (row["skipped"]) {
    line += "  skipped: no group with a spread of rewards";
  } else {
    line += field(row, "kl", "kl", 4) + field(row, "entropy", "entropy", 2) +
            field(row, "clip", "clip_ratio/region_mean", 3) +
            field(row, "loss", "loss", 4) + field(row, "grad", "grad_norm", 3);
  }
  line += field(row, "teacher", "rewards/teacher/mean", 2);
  return row["unscored"] == 0 ? line : line + field(row, "unscored", "unscored", 0);
}

// The same of a step on answers that were given.
std::string given_text(const Json& row) {
  return field(row, "loss", "loss", 4) + field(row, "margin", "rewards/margins", 3) +
         field(row, "accuracy", "rewards/accuracies", 2) +
         field(row, "grad", "grad_norm", 3);
}

// "  sample 62 % 210 tok/s": a phase's share of the step.
std::string phase_text(
    const Json& row, const char* label, double seconds, const char* speed) {
  double total = row["step_time"].get<double>();
  char share[48];
  double percent = total > 0 ? 100 * seconds / total : 0;
  std::snprintf(share, sizeof share, "  %s %.0f %%", label, percent);
  if (speed == nullptr) return share;
  return std::string(share) + " " + rounded(row[speed], 0) + " tok/s";
}

std::string cost_text(const StepRecord& record, const Json& row, double eta_s) {
  const auto& seconds = record.seconds;
  std::string line = field(row, "length", "completions/mean_length", 0);
  if (record.sampled && seconds.generate > 0) {  // the first steps on a round's samples
    line += phase_text(row, "sample", seconds.generate, "speed/generate") +
            phase_text(row, "score", seconds.score, nullptr);
  }
  line += phase_text(row, "train", seconds.update, "speed/update");
  if (record.peak_memory_gb > 0)
    line += "  " + rounded(row["memory/peak_gb"], 1) + " GB";
  return line + "  " + rounded(row["step_time"], 1) + " s  " + duration_text(eta_s) +
         " left";
}

struct Extremes {
  const RolloutGroup *best_group = nullptr, *worst_group = nullptr;
  const Rollout *best = nullptr, *worst = nullptr;
};

// The first of equals; unscored ones are neither.
Extremes extremes_of(const StepRecord& record) {
  Extremes found;
  for (const auto& group : record.groups) {
    for (const auto& r : group.rollouts) {
      if (!r.reward || !r.missing.empty()) continue;
      if (!found.best || *r.reward > *found.best->reward)
        found.best = &r, found.best_group = &group;
      if (!found.worst || *r.reward < *found.worst->reward)
        found.worst = &r, found.worst_group = &group;
    }
  }
  return found;
}

std::string completion_markdown(
    const char* title, const RolloutGroup& group, const Rollout& rollout) {
  return "**" + std::string(title) + ", reward " + rounded(*rollout.reward, 3) +
         "**\n\n" + fenced(group.task.prompt) + "\n" + fenced(rollout.completion.text) +
         "\n";
}

}  // namespace

std::string step_line(const StepRecord& record, int max_steps, double eta_s) {
  auto row = metrics_row(record);
  std::string line =
      "step " + std::to_string(record.step) + "/" + std::to_string(max_steps);
  line += record.sampled ? sampling_text(row) : given_text(row);
  return line + "\n " + cost_text(record, row, eta_s);
}

std::string completions_markdown(const StepRecord& record) {
  auto found = extremes_of(record);
  if (!found.best) return "";
  return completion_markdown("Best", *found.best_group, *found.best) +
         completion_markdown("Worst", *found.worst_group, *found.worst);
}

}  // namespace pupil
