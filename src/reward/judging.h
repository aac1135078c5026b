// From answers to questions to scores: the modes of judging, the second look at what
// talks to the judge, and probes whose right score is known.

#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "reward/judge.h"
#include "reward/teacher_answers.h"

namespace pupil {

/// Two answers of one group, compared in both orders.
struct Comparison {
  size_t first = 0, second = 0;  // of the samples given
  std::optional<double> score;   // of the first: 1 won, 0 lost, 0.5 a tie, or the two
                                 // orders disagree; none: unscored
  std::string reason;
};

/// What happened since somebody last took the counts.
struct JudgeCounts {
  int64_t samples = 0, scored = 0, local_zeros = 0;
  std::map<std::string, int64_t> unscored;  // by what went wrong
  int64_t suspicious = 0;                   // answers that seem to talk to the judge
  int64_t gaps = 0;  // of those, worth more than 0.2 less without their talk
  int64_t probes = 0, probes_failed = 0;  // a failed one: a score above 0.2
  double probe_sum = 0;

  JudgeCounts& operator+=(const JudgeCounts& other);
};

/// A score, and of an unscored sample what kind of trouble it was.
struct Verdict {
  Score score;
  std::string trouble;
};

/// An answer that deserves a judge.
struct OpenAnswer {
  const Task* task;
  std::string_view text;
  size_t sample;
};

/// Questions and what to do with their replies, in the same order.
struct JudgeWork {
  std::vector<Question> questions;
  std::function<void(std::span<const ChatReply>)> read;
};

/// Above this a known-bad program's score, or what an answer loses without its talk, is
/// an alarm.
inline constexpr double kAlarmScore = 0.2;

/// The modes as functions; verdicts and comparisons must outlive the work. A group is a
/// run of answers with one task.
struct JudgeTerms {
  TeacherConfig config;
  Rubric rubric;

  JudgeSettings settings() const { return {config.temperature, config.max_tokens}; }
};
Question graded_question(
    const JudgeTerms& terms, const Task& task, std::string_view answer, int64_t slot);
Verdict read_graded(const JudgeTerms& terms, const ChatReply& reply);
/// The mean of those that are scored, or the first trouble.
Verdict mean_verdict(std::span<const Verdict> verdicts);
/// The lesser score of an answer as it is and of the same without its talk; unscored if
/// one of them is.
Verdict least_verdict(const Verdict& whole, const Verdict& plain, JudgeCounts& counts);
/// Unscored, for a question that got no good reply.
Verdict no_reply(const ChatReply& reply);
JudgeWork judge_each(
    const JudgeTerms& terms,
    std::span<const OpenAnswer> answers,
    std::vector<Verdict>& verdicts,
    JudgeCounts& counts);
JudgeWork judge_group(
    const JudgeTerms& terms,
    std::span<const OpenAnswer> group,
    std::vector<Verdict>& verdicts,
    JudgeCounts& counts);
JudgeWork judge_pairs(
    const JudgeTerms& terms,
    std::span<const OpenAnswer> group,
    std::vector<Comparison>& comparisons,
    JudgeCounts& counts);
/// Fills in the verdicts of open answers: the share of wins, ties half, among the
/// comparisons of an answer's group. An answer wins against each that is degenerate,
/// and ties with each that is the same.
void score_pairs(
    std::span<const Sample> samples,
    std::span<const OpenAnswer> open,
    std::span<const Comparison> comparisons,
    std::vector<Verdict>& verdicts);
JudgeWork judge_probes(
    const JudgeTerms& terms, std::span<const OpenAnswer> answers, JudgeCounts& counts);

/// What answers are judged for. A check of the judge itself asks nothing but its
/// question, and does not wait for one that is down.
enum class JudgePurpose { score, check };

/// Judges by `teacher.mode`. Safe to use from many threads.
class Judging {
 public:
  using AskFn =
      std::function<std::vector<ChatReply>(std::span<const Question>, JudgePurpose)>;

  /// Throws std::invalid_argument for settings that cannot work.
  Judging(const TeacherConfig& config, AskFn ask);

  /// Element i is for sample i. Throws what `ask` throws.
  std::vector<Score> judge(
      std::span<const Sample> samples, JudgePurpose purpose = JudgePurpose::score);

  /// Whether the mode judges the answers of a group beside each other: then only a
  /// whole group's questions can be known.
  bool looks_at_groups() const;

  /// What `judge` of these samples asks. The questions outlive the samples.
  std::vector<Question> questions_of(std::span<const Sample> samples) const;

  /// Every pair that mode pairwise looks at, group by group. After `judge` of the same
  /// samples this costs nothing: the answers are in the cache.
  std::vector<Comparison> compare(std::span<const Sample> samples);

  JudgeCounts take_counts();
  int64_t local_zeros() const { return local_zeros_; }  // since construction

 private:
  std::vector<JudgeWork> works_for(
      std::span<const OpenAnswer> open,
      std::vector<Verdict>& verdicts,
      std::vector<Comparison>& comparisons,
      JudgeCounts& counts) const;
  void run(std::span<const JudgeWork> works, JudgePurpose purpose) const;
  void add(JudgeCounts counts, std::span<const Verdict> verdicts);

  JudgeTerms terms_;
  AskFn ask_;
  std::mutex mutex_;  // of the counts
  JudgeCounts counts_;
  std::atomic<int64_t> local_zeros_ = 0;
  bool warned_ = false;
};

}  // namespace pupil
