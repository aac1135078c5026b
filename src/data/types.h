// The records that flow through a training step. Every stage fills in the fields
// it owns and passes the record on:
//
//   dataset -> Prompt -> generate -> RolloutGroup -> score -> reward
//           -> advantages -> advantage -> pack -> microbatches -> learner

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace pupil {

/// One turn of a chat.
struct Message {
  std::string role;     // system | user | assistant
  std::string content;  // plain text; special-token literals in it stay plain text
};

/// What a program reads, and what it must print for that.
struct IoTest {
  std::string input, output;
};

/// A file of the user's own that stands beside a test command.
struct TestFile {
  std::string name, content;
};

/// One line of a tasks file: what is asked, and how an answer is tested.
struct Task {
  std::string id;
  std::string prompt;
  std::string language = "python";  // "any": the mark of the answer's code says
  std::string entry_point;          // empty: none stated
  std::vector<std::string> tests;   // Python statements; empty: the task is untested
  std::string setup;                // statements to run before the tests
  std::string preamble;   // runs before the answer's code too: the imports and
                          // helpers of a file that the answer completes
  std::string signature;  // of that file: the function's head, down to its docstring
  std::vector<IoTest> io_tests;  // for a whole program; the other kind of test
  std::vector<TestFile> test_files;
  std::vector<std::string> test_command;  // passes by exit code 0; empty: there is none
  std::string solution;                   // empty: none known
  std::string extra;  // the line's keys that are not ours, a JSON object, for programs
                      // of the user's; empty: none
};

/// What the student is asked, as token ids. Text becomes ids once, here.
struct Prompt {
  std::vector<int> tokens;
  uint64_t key = 0;  // names this prompt's random streams; its index in the data set
};

enum class FinishReason { stop, length };  // stop: an EOS id or a stop string

/// One sampled continuation of one prompt.
struct Completion {
  std::vector<int> tokens;      // a sampled end-of-sequence id included
  std::vector<float> logprobs;  // [tokens.size()] nats, log-softmax(logits / T) of the
                                // sampling policy before any truncation
  std::string text;             // decoded, without the EOS token and the stop string
  FinishReason finish = FinishReason::length;
  bool is_text_only = false;  // it comes from a file: its tokens are not known
};

/// A score, a finite number and mostly in [0, 1], or unscored: a teacher, sandbox or
/// program that failed gives no score, and never a zero.
struct Score {
  std::optional<double> value;
  std::string reason;  // why, in one line; for an unscored sample, what went wrong
};

enum class Source { student, teacher };

/// A completion with all that was said about it.
struct Rollout {
  Completion completion;
  std::string missing;              // why there is no completion; empty: there is one
  Source source = Source::student;  // who wrote it
  std::vector<Score> scores;        // [reward functions], in their order
  std::optional<double> reward;     // weighted sum of the scores; none: unscored
  double advantage = 0;             // from the rewards of the whole group
};

/// The completions of one prompt, sampled from one version of the policy.
struct RolloutGroup {
  Prompt prompt;
  Task task;
  std::vector<Rollout> rollouts;
};

/// What a reward function sees of one completion.
struct Sample {
  const Task* task;
  const Completion* completion;
};

/// Scores a batch, element i for sample i. Trouble with one sample is an unscored
/// element; an exception means that nothing can be scored and stops the run.
/// May be called from any thread.
using RewardFn = std::function<std::vector<Score>(std::span<const Sample>)>;

}  // namespace pupil
