#include "reward/tests_reward.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <tuple>

#include "base/log.h"
#include "base/parallel.h"
#include "data/task_formats.h"
#include "reward/answer.h"
#include "reward/box_pool.h"
#include "reward/guessing.h"
#include "reward/program_grading.h"

namespace pupil {
namespace {

/// `constant`: how many tests a constant answer passes, where that is to be told from a
/// solution; none: the plain share counts.
Score score_of(const Grade& grade, std::optional<int> constant) {
  if (!grade.trouble.empty()) return {std::nullopt, grade.trouble};
  if (grade.num_tests == 0) return {std::nullopt, "no test can be asked of the answer"};
  std::string reason = std::to_string(grade.num_passed) + " of " +
                       std::to_string(grade.num_tests) + " tests passed";
  const bool is_some = grade.num_passed > 0 && grade.num_passed < grade.num_tests;
  if (constant && is_some)
    reason += " (always the same value passes " + std::to_string(*constant) + ")";
  if (!grade.note.empty()) reason += "; " + grade.note;
  if (grade.end != ExecutionResult::Outcome::ok) {
    reason += std::string(" [") + grade.result_class() + "]";
  }
  return {
      share_beyond_guess(grade.num_passed, grade.num_tests, constant.value_or(0)),
      reason};
}

/// FNV-1a: the same order of calls on every machine and in every run.
uint64_t key_of(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return hash;
}

/// Grades answers in warm boxes, and remembers which languages this machine lacks.
class Grader {
 public:
  Grader(std::shared_ptr<const Sandbox> sandbox, unsigned workers)
      : pool_(std::move(sandbox), workers),
        boxes_{pool_.sandbox(), [this](const Program& p) { return pool_.take(p); }} {
    pool_.prepare(student_box_program(pool_.sandbox().config()));
  }

  Score score(const Task& task, const AnswerProgram& program) {
    if (program.code.empty()) {
      const std::string name = name_of(program.language);
      return {
          0.0, "the answer has no " + (name == "python" ? "Python" : name) + " code"};
    }
    const uint64_t key = key_of(task.id + "\n" + program.code);
    const auto tests = split_tests(task.tests);
    const auto constant = worth_of_a_guess(task, tests);
    if (!is_for_programs(task)) {
      const Submission submission{
          .preamble = task.preamble,
          .code = program.code,
          .entry_point = entry_point_of(task),
          .classes = classes_of_answer(task),
          .setup = task.setup,
          .tests = tests,
          .order_key = key};
      return score_of(grade(boxes_, submission), constant);
    }
    const std::string trouble = trouble_with(program.language);
    if (!trouble.empty()) return {std::nullopt, trouble};
    return score_of(
        grade_program(boxes_, {program.language, program.code, &task, key}), constant);
  }

  static bool is_for_programs(const Task& task) {
    return !task.io_tests.empty() || !task.test_command.empty();
  }

 private:
  /// How many tests a constant passes, where that matters. Says once that there are
  /// tasks in which it passes all.
  std::optional<int> worth_of_a_guess(const Task& task, const TestCases& tests) {
    if (!is_guessable(task, tests)) return std::nullopt;
    const int most = most_by_one_value(task, tests);
    const auto total = tests.literal.size() + tests.other.size() + task.io_tests.size();
    if (static_cast<size_t>(most) == total && !told_of_constants_.exchange(true)) {
      log_warning(
          "[tests] all tests of task " + task.id +
          " want the same value, so that always giving it earns all; add a test that "
          "wants another");
    }
    return most;
  }

  std::string trouble_with(Language language) {
    std::lock_guard lock(mutex_);
    const auto known = troubles_.find(language);
    if (known != troubles_.end()) return known->second;
    const std::string trouble = tools_trouble(boxes_, language);
    if (!trouble.empty())
      log_warning("[tests] " + trouble + "; its tasks are unscored");
    return troubles_[language] = trouble;
  }

  std::atomic<bool> told_of_constants_ = false;
  BoxPool pool_;
  Boxes boxes_;
  std::mutex mutex_;  // guards troubles_
  std::map<Language, std::string> troubles_;
};

// An answer may need two boxes, and waiting for the second must not starve the others.
constexpr unsigned kMaxWorkers = 24;

using Job = std::tuple<const Task*, Language, std::string>;

/// The answer's code; none where the task's language is not one of ours.
std::optional<AnswerProgram> code_for(const Task& task, const std::string& answer) {
  if (Grader::is_for_programs(task)) {
    if (task.test_command.empty() || task.entry_point.empty()) {
      return program_of_answer(answer, task.language);
    }
    const auto program = program_of_answer(answer, task.language);
    if (!program || program->language != Language::python) return program;
  }
  return AnswerProgram{
      Language::python,
      completed_function(task.signature, answer, entry_point_of(task))};
}

/// The different pairs of task and code, each with the samples that it stands for.
std::map<Job, std::vector<size_t>> jobs_of(
    std::span<const Sample> samples, std::vector<Score>& scores) {
  std::map<Job, std::vector<size_t>> jobs;
  for (size_t i = 0; i < samples.size(); ++i) {
    const auto& [task, completion] = samples[i];
    if (task->tests.empty() && !Grader::is_for_programs(*task)) {
      scores[i] = {std::nullopt, "the task has no tests"};
    } else if (const auto program = code_for(*task, completion->text)) {
      jobs[{task, program->language, program->code}].push_back(i);
    } else {
      scores[i] = {std::nullopt, "no tools for the language '" + task->language + "'"};
    }
  }
  return jobs;
}

}  // namespace

RewardFn tests_reward(std::shared_ptr<const Sandbox> sandbox, unsigned workers) {
  workers = std::min(workers, kMaxWorkers);
  auto grader = std::make_shared<Grader>(std::move(sandbox), workers);
  return [grader, workers](std::span<const Sample> samples) {
    std::vector<Score> scores(samples.size());
    const auto jobs = jobs_of(samples, scores);
    std::vector<std::pair<const Job*, const std::vector<size_t>*>> list;
    for (const auto& [job, members] : jobs) list.emplace_back(&job, &members);
    parallel_for(list.size(), workers, [&](size_t j) {
      const auto& [task, language, code] = *list[j].first;
      const Score score = grader->score(*task, {language, code});
      for (const size_t i : *list[j].second) scores[i] = score;
    });
    return scores;
  };
}

}  // namespace pupil
