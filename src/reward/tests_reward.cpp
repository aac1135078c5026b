#include "reward/tests_reward.h"

#include <algorithm>
#include <map>

#include "base/parallel.h"
#include "reward/answer.h"
#include "reward/grading.h"

namespace pupil {
namespace {

Score score_of(const Grade& grade) {
  if (!grade.trouble.empty()) return {std::nullopt, grade.trouble};
  if (grade.num_tests == 0) return {std::nullopt, "no test can be asked of the answer"};
  std::string reason = std::to_string(grade.num_passed) + " of " +
                       std::to_string(grade.num_tests) + " tests passed";
  if (!grade.note.empty()) reason += "; " + grade.note;
  return {static_cast<double>(grade.num_passed) / grade.num_tests, reason};
}

/// FNV-1a: the same order of calls on every machine and in every run.
uint64_t key_of(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return hash;
}

Score score_code(const Sandbox& sandbox, const Task& task, const std::string& code) {
  if (code.empty()) return {0.0, "the answer has no Python code"};
  const Submission submission{
      .code = code,
      .entry_point = entry_point_of(task),
      .setup = task.setup,
      .tests = split_tests(task.tests),
      .order_key = key_of(task.id + "\n" + code)};
  return score_of(grade(sandbox, submission));
}

// An answer may need two boxes, and waiting for the second must not starve the others.
constexpr unsigned kMaxWorkers = 24;

using Job = std::pair<const Task*, std::string>;

/// The different pairs of task and code, each with the samples that it stands for.
std::map<Job, std::vector<size_t>> jobs_of(
    std::span<const Sample> samples, std::vector<Score>& scores) {
  std::map<Job, std::vector<size_t>> jobs;
  for (size_t i = 0; i < samples.size(); ++i) {
    const auto& [task, completion] = samples[i];
    if (task->tests.empty()) {
      scores[i] = {std::nullopt, "the task has no tests"};
    } else {
      const auto code = code_of_answer(completion->text, entry_point_of(*task));
      jobs[{task, code}].push_back(i);
    }
  }
  return jobs;
}

}  // namespace

RewardFn tests_reward(std::shared_ptr<const Sandbox> sandbox, unsigned workers) {
  return [sandbox = std::move(sandbox), workers](std::span<const Sample> samples) {
    std::vector<Score> scores(samples.size());
    const auto jobs = jobs_of(samples, scores);
    std::vector<std::pair<const Job*, const std::vector<size_t>*>> list;
    for (const auto& [job, members] : jobs) list.emplace_back(&job, &members);
    parallel_for(list.size(), std::min(workers, kMaxWorkers), [&](size_t j) {
      const auto& [task, code] = *list[j].first;
      const Score score = score_code(*sandbox, *task, code);
      for (const size_t i : *list[j].second) scores[i] = score;
    });
    return scores;
  };
}

}  // namespace pupil
