#include "reward/rubric.h"

#include <algorithm>
#include <cstdio>

#include "reward/answer.h"
#include "reward/test_cases.h"

namespace pupil {
namespace {

/// 1 up to `full`, 0 from `none`, linear between.
double fall(int value, int full, int none) {
  return std::clamp(static_cast<double>(none - value) / (none - full), 0.0, 1.0);
}

double quality_of(const PythonFacts& f) {
  const double bad_names = 0.5 * f.short_names + 2.0 * f.odd_names;
  const double names = f.names ? std::max(0.0, 1 - bad_names / f.names) : 1;
  const double score =
      0.4 * names + 0.3 * fall(f.nesting, 3, 6) + 0.3 * fall(f.complexity, 10, 20);
  return std::max(0.0, score - (f.bare_excepts ? 0.2 : 0));
}

Score score_of(const Sample& sample) {
  const auto& [task, completion] = sample;
  if (task->language != "python") return {std::nullopt, "the task is not in Python"};
  const std::string entry_point = entry_point_of(*task);
  const std::string code = code_of_answer(completion->text, entry_point);
  const auto scores = rubric_scores(analyze_python(code), defines(code, entry_point));
  char reason[120];
  std::snprintf(
      reason,
      sizeof(reason),
      "correctness %.2f, quality %.2f, efficiency %.2f, documentation %.2f",
      scores.correctness,
      scores.quality,
      scores.efficiency,
      scores.documentation);
  return {scores.total(), reason};
}

}  // namespace

double RubricScores::total() const {
  return 0.3 * correctness + 0.3 * quality + 0.2 * efficiency + 0.2 * documentation;
}

RubricScores rubric_scores(const PythonFacts& f, bool defines_entry_point) {
  if (!f.parses || f.functions == 0 || f.statements == 0) return {};
  const double documented = static_cast<double>(f.documented) / f.functions;
  return {
      .correctness = defines_entry_point ? 1.0 : 0.5,
      .quality = quality_of(f),
      .efficiency =
          0.7 * fall(f.loop_nesting, 2, 4) + 0.3 * fall(f.code_lines, 40, 120),
      .documentation = 0.8 * documented + (f.comments || f.documented ? 0.2 : 0.0)};
}

RewardFn rubric_reward() {
  return [](std::span<const Sample> samples) {
    std::vector<Score> scores;
    for (const auto& sample : samples) scores.push_back(score_of(sample));
    return scores;
  };
}

}  // namespace pupil
