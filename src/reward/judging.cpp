#include "reward/judging.h"

#include <spdlog/spdlog.h>

#include <stdexcept>
#include <utility>

namespace pupil {

namespace {

void expect_sound(const TeacherConfig& config) {
  bool expected = config.mode == "expected";
  if (config.provider == "anthropic" && expected) {
    throw std::invalid_argument(
        "[teacher.mode] expected needs log-probabilities, and anthropic's API has "
        "none; set teacher.mode to rubric, group or pairwise");
  }
  if (config.provider == "local" && !expected) {
    throw std::invalid_argument(
        "[teacher.mode] a local judge gives probabilities of a digit only, expected "
        "'expected', got '" +
        config.mode + "'; set teacher.mode: expected");
  }
  if (expected && config.samples > 1) {
    throw std::invalid_argument(
        "[teacher.samples] an expectation is the same each time, expected 1, got " +
        std::to_string(config.samples) + "; set teacher.samples: 1");
  }
}

// The answers to be asked about; degenerate ones get their verdict here.
std::vector<OpenAnswer> open_answers(
    std::span<const Sample> samples, std::vector<Verdict>& verdicts) {
  std::vector<OpenAnswer> open;
  for (size_t i = 0; i < samples.size(); ++i) {
    const auto& text = samples[i].completion->text;
    if (auto why = degenerate(text, samples[i].task->language)) {
      verdicts[i].score = {0.0, *why};
    } else {
      open.push_back({samples[i].task, text, i});
    }
  }
  return open;
}

/// Calls f(group) for each run of answers to one task.
template <class F>
void for_each_group(std::span<const OpenAnswer> answers, F&& f) {
  for (size_t begin = 0; begin < answers.size();) {
    size_t end = begin + 1;
    while (end < answers.size() && answers[end].task == answers[begin].task) ++end;
    f(answers.subspan(begin, end - begin));
    begin = end;
  }
}

std::vector<Question> questions_of_all(std::span<const JudgeWork> works) {
  std::vector<Question> questions;
  for (const auto& work : works) {
    questions.insert(questions.end(), work.questions.begin(), work.questions.end());
  }
  return questions;
}

}  // namespace

Judging::Judging(const TeacherConfig& config, AskFn ask)
    : terms_{config, checked_rubric(config.criteria)}, ask_(std::move(ask)) {
  expect_sound(config);
  if (config.samples > 1 && config.temperature == 0) {
    spdlog::warn(
        "[teacher.samples] {} judgements at temperature 0 will hardly differ; set "
        "teacher.temperature",
        config.samples);
  }
}

std::vector<JudgeWork> Judging::works_for(
    std::span<const OpenAnswer> open,
    std::vector<Verdict>& verdicts,
    std::vector<Comparison>& comparisons,
    JudgeCounts& counts) const {
  std::vector<JudgeWork> works;
  if (!looks_at_groups()) {
    works.push_back(judge_each(terms_, open, verdicts, counts));
    return works;
  }
  for_each_group(open, [&](std::span<const OpenAnswer> group) {
    works.push_back(
        terms_.config.mode == "group"
            ? judge_group(terms_, group, verdicts, counts)
            : judge_pairs(terms_, group, comparisons, counts));
  });
  return works;
}

void Judging::run(std::span<const JudgeWork> works, JudgePurpose purpose) const {
  auto replies = ask_(questions_of_all(works), purpose);
  size_t begin = 0;
  for (const auto& work : works) {
    size_t count = work.questions.size();
    if (count > 0) work.read(std::span<const ChatReply>(replies).subspan(begin, count));
    begin += count;
  }
}

std::vector<Score> Judging::judge(
    std::span<const Sample> samples, JudgePurpose purpose) {
  std::vector<Verdict> verdicts(samples.size());
  std::vector<Comparison> comparisons;
  JudgeCounts counts;
  auto open = open_answers(samples, verdicts);
  counts.samples = static_cast<int64_t>(samples.size());
  counts.local_zeros = static_cast<int64_t>(samples.size() - open.size());
  auto works = works_for(open, verdicts, comparisons, counts);
  if (purpose == JudgePurpose::score)
    works.push_back(judge_probes(terms_, open, counts));
  run(works, purpose);
  if (terms_.config.mode == "pairwise")
    score_pairs(samples, open, comparisons, verdicts);
  add(counts, verdicts);
  std::vector<Score> scores;
  for (auto& verdict : verdicts) scores.push_back(std::move(verdict.score));
  return scores;
}

bool Judging::looks_at_groups() const {
  return terms_.config.mode == "group" || terms_.config.mode == "pairwise";
}

std::vector<Question> Judging::questions_of(std::span<const Sample> samples) const {
  std::vector<Verdict> verdicts(samples.size());
  std::vector<Comparison> comparisons;
  JudgeCounts counts;
  auto open = open_answers(samples, verdicts);
  auto works = works_for(open, verdicts, comparisons, counts);
  works.push_back(judge_probes(terms_, open, counts));
  return questions_of_all(works);
}

std::vector<Comparison> Judging::compare(std::span<const Sample> samples) {
  std::vector<Verdict> verdicts(samples.size());
  std::vector<Comparison> comparisons;
  JudgeCounts counts;
  std::vector<JudgeWork> works;
  auto open = open_answers(samples, verdicts);
  for_each_group(open, [&](std::span<const OpenAnswer> group) {
    works.push_back(judge_pairs(terms_, group, comparisons, counts));
  });
  run(works, JudgePurpose::score);
  return comparisons;
}

void Judging::add(JudgeCounts counts, std::span<const Verdict> verdicts) {
  for (const auto& verdict : verdicts) {
    if (verdict.score.value) ++counts.scored;
    if (!verdict.score.value) ++counts.unscored[verdict.trouble];
  }
  local_zeros_ += counts.local_zeros;
  std::lock_guard lock(mutex_);
  if (counts.probes_failed > 0 && !std::exchange(warned_, true)) {
    spdlog::warn(
        "[teacher] the judge gave a known-bad program more than {}: its scores mean "
        "little (teacher/alarm/probe in the metrics)",
        kAlarmScore);
  }
  counts_ += counts;
}

JudgeCounts Judging::take_counts() {
  std::lock_guard lock(mutex_);
  return std::exchange(counts_, {});
}

JudgeCounts& JudgeCounts::operator+=(const JudgeCounts& other) {
  samples += other.samples;
  scored += other.scored;
  local_zeros += other.local_zeros;
  for (const auto& [why, count] : other.unscored) unscored[why] += count;
  suspicious += other.suspicious;
  gaps += other.gaps;
  probes += other.probes;
  probes_failed += other.probes_failed;
  probe_sum += other.probe_sum;
  return *this;
}

}  // namespace pupil
