// AI feedback: a large model behind a chat API that grades the student's answers, or
// writes answers itself. docs/teacher.md says how to configure one.
//
// Trouble with one question is an unscored sample or a missing answer, never a number.
// Only what no later question can mend stops the run, by the errors below.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "data/types.h"
#include "reward/judging.h"
#include "reward/teacher_answers.h"
#include "reward/teacher_config.h"

namespace pupil {

/// The server accepts nothing from us: wrong key, model or address (401, 403, 404).
struct TeacherRefused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// No money or quota is left (402, or a 429 that says so). The run can be resumed.
struct TeacherOutOfQuota : Stopped {
  using Stopped::Stopped;
};

/// The next request could have cost more than `max_cost_usd` allows.
struct TeacherOverBudget : Stopped {
  using Stopped::Stopped;
};

/// No request succeeded for `max_outage_s`, or one did not and `on_failure` is `stop`.
struct TeacherDown : Stopped {
  using Stopped::Stopped;
};

/// What the program passes in from outside.
struct TeacherOptions {
  Environment environment = process_environment;
  std::optional<RetryPolicy> retry;  // default: the providers' own, config.max_retries
  std::optional<LocalModel> local;   // what provider local asks
  std::function<bool()> stop_requested = {};  // ends the waiting for a teacher
  std::function<void(const std::string& text)> on_notice = {};  // see ClientOptions
};

/// Named numbers for a row of metrics.
using Metrics = std::vector<std::pair<std::string, double>>;

/// One answer that the teacher wrote, or why there is none.
struct WrittenAnswer {
  std::optional<std::string> text;
  FinishReason finish = FinishReason::stop;
  std::string reason;  // empty where there is a text
};

/// Owns the connections and the cache. Safe to use from many threads.
class Teacher {
 public:
  /// Throws std::invalid_argument for a configuration that cannot work, a missing key
  /// or price among it, and std::runtime_error for a cache that cannot be opened. Sends
  /// nothing.
  explicit Teacher(const TeacherConfig& config, const TeacherOptions& options = {});

  /// Grades one known program, so that a run with a teacher that does not answer, or
  /// answers nonsense, ends before it began: one that is down is not waited for. Throws
  /// std::runtime_error, TeacherRefused or what stops a run below. Its answer is cached
  /// as any other.
  void check();

  /// Grades answers by `teacher.mode`; element i is for sample i. Samples of one group
  /// share their task and stand side by side. Throws TeacherRefused, and
  /// TeacherOutOfQuota, TeacherOverBudget, TeacherDown or another Stopped where the run
  /// has to be saved and stopped.
  std::vector<Score> judge(std::span<const Sample> samples);

  /// Asks in the background what can be asked already, so that `judge` finds it asked:
  /// about the last of `finished`, the answers of one group that are there, in the
  /// modes that look at each for itself; about all of them, once the group is `whole`,
  /// in the others. It keeps nothing of them, never throws for trouble with the server,
  /// and returns at once.
  void begin_judging(std::span<const Sample> finished, bool whole);

  /// The pairs of mode pairwise with their winners, for methods that learn from
  /// preferences; after `judge` in that mode it is answered from the cache. Throws as
  /// `judge` does.
  std::vector<Comparison> compare(std::span<const Sample> samples);

  /// Whether it can write answers: a local judge cannot.
  bool writes() const;

  /// What was done since the last call, as `teacher/...`: coverage (share of samples
  /// with a score), unscored/<why>, questions, cache_hit_rate (of them), calls,
  /// retries, reasks, latency_p50 and _p95 in seconds, input_tokens, output_tokens,
  /// cost_usd where prices are known;
  /// suspicious (share of samples that seem to talk to the judge), probe_mean (of
  /// known-bad programs; absent without any), and alarm/gap, alarm/probe and
  /// alarm/suspicious: 1 where the judge seems to be played upon, else 0.
  Metrics take_metrics();

  /// Writes `n` answers to each chat: [prompts][n]. Answer k of a chat is cached as its
  /// sample k. An answer that was cut off at `max_tokens` has finish `length`. Throws
  /// as `judge` does.
  std::vector<std::vector<WrittenAnswer>> write_answers(
      std::span<const std::vector<Message>> prompts,
      int n,
      double temperature,
      int max_tokens);

  /// Counts spending in this file from now on, what it holds included. Throws
  /// std::runtime_error if it cannot be used.
  void keep_ledger(const std::string& path);

  /// The environment variable that holds the key; empty: there is none.
  const std::string& key_variable() const;

  TeacherStats stats() const;

 private:
  std::vector<ChatReply> ask(std::span<const Question> questions, bool patient);

  TeacherConfig config_;
  Judging judging_;  // whose questions answers_ may still be asking at the end
  TeacherAnswers answers_;
  TeacherStats taken_;  // when the metrics were taken last
};

/// `teacher` as a reward function.
RewardFn teacher_reward(std::shared_ptr<Teacher> teacher);

}  // namespace pupil
