// The engine in another process, and more than 60 ways in which that can go wrong: a
// bounded time, one line or another process, nothing left over, nothing told twice.

#include "rollout/worker_engine.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>

#include "base/log.h"
#include "models/lora.h"
#include "support/files.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace pupil {
namespace {

namespace fs = std::filesystem;

constexpr int kRows = 2;
constexpr double kShort = 0.3;  // seconds, where a worker is to be waited for in vain
constexpr double kPatient = 2;  // where less than what one of its works takes
constexpr double kLong = 60;    // elsewhere: what else uses the machine must not matter

Model tiny_student() {
  auto folder = std::string(PUPIL_SOURCE_DIR) + "/tests/support/tiny_tokenizer";
  Model model{testing::tiny_decoder(), Tokenizer(folder), {1}, folder};
  attach_lora(model.decoder, {}, 1);
  return model;
}

const Model& model() {
  static const Model made = tiny_student();
  return made;
}

std::vector<Prompt> prompts() {
  return {{{5, 6, 7}, 10}, {{9}, 30}};
}

// What a good worker of bad_worker.py answers.
std::vector<int> expected_tokens(const Prompt& prompt, int row) {
  return {2 + static_cast<int>(prompt.key + row) % 40, 7, 1};
}

size_t open_descriptors() {
  fs::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(all, {}));
}

/// bad_worker.py with a behaviour that its first `times` processes have.
class BadWorkers {
 public:
  BadWorkers(
      const std::string& behaviour,
      int times,
      double timeout_s,
      int failures,
      std::optional<double> start_s = {}) {
    options_.command = {
        "/usr/bin/python3",
        "-I",
        "-S",
        std::string(PUPIL_SOURCE_DIR) + "/tests/rollout/bad_worker.py",
        behaviour,
        std::to_string(times),
        folder_.path().string()};
    options_.environment = {std::string("PUPIL_VERSION=") + PUPIL_VERSION};
    options_.errors_path = (folder_.path() / "worker.stderr").string();
    options_.timeout_s = timeout_s;
    options_.start_s = start_s.value_or(timeout_s);
    options_.end_s = kShort;
    options_.backoff_s = 0;
    options_.line_bytes = 1u << 20;
    options_.max_failures = failures;
    engine = std::make_unique<WorkerEngine>(
        options_,
        nlohmann::json{{"model_sha256", "m"}},
        folder_.path() / "adapters",
        "{}");
  }

  /// Samples, and counts what is told on the way.
  std::vector<std::vector<Completion>> sample(const std::vector<Prompt>& prompts) {
    SamplingConfig sampling;
    sampling.max_tokens = 4;
    WorkerEvents events{
        [&](int64_t tokens, int64_t spared) {
          tokens_told += tokens;
          tokens_spared += spared;
        },
        [&](int, int, const Completion&) { ++completions_told; }};
    return engine->generate(model(), prompts, kRows, sampling, events);
  }

  size_t starts() const { return fs::file_size(folder_.path() / "starts"); }
  const fs::path& folder() const { return folder_.path(); }

  std::unique_ptr<WorkerEngine> engine;
  int64_t tokens_told = 0, tokens_spared = 0;
  int completions_told = 0;

 private:
  testing::TempDir folder_;
  WorkerOptions options_;
};

void expect_good_samples(
    BadWorkers& workers, const std::vector<std::vector<Completion>>& all) {
  auto asked = prompts();
  ASSERT_EQ(all.size(), asked.size());
  for (size_t p = 0; p < asked.size(); ++p) {
    ASSERT_EQ(all[p].size(), size_t{kRows});
    for (int row = 0; row < kRows; ++row) {
      EXPECT_EQ(all[p][row].tokens, expected_tokens(asked[p], row));
      EXPECT_EQ(all[p][row].logprobs, (std::vector<float>{-0.5f, -0.25f, -0.125f}));
      EXPECT_EQ(all[p][row].finish, FinishReason::stop);
      EXPECT_NE(all[p][row].text, "ignored");
    }
  }
  EXPECT_EQ(workers.completions_told, 4);
  EXPECT_GE(workers.tokens_told, 12);
  EXPECT_LE(workers.tokens_told, 16);  // all that were allowed, of one that boasted
  EXPECT_EQ(workers.tokens_spared, 4);
}

struct BadCase {
  const char* behaviour;
  const char* said;         // of it in the error
  bool waits_long = false;  // it is found out by the time that it takes
};

// What another process may do better.
const BadCase kTroubles[] = {
    {"exits", "ended with exit code 3"},
    {"silent", "said nothing for 0.3 s (rollout.worker_start_s)", true},
    {"garbage", "expected a line of JSON, got '%$#!'"},
    {"half_a_line", "said nothing for 0.3 s (rollout.worker_start_s)", true},
    {"no_end_of_line", "wrote more than 1048576 bytes without an end of line"},
    {"nul_bytes", "expected a line of JSON"},
    {"no_utf8", "expected a line of JSON"},
    {"a_number", "expected a JSON object, got '42'"},
    {"a_list", "expected a JSON object, got '[]'"},
    {"deep", "a message is nested deeper than 64"},
    {"not_a_hello", "expected a greeting"},
    {"killed", "was ended by Killed"},
    {"dribbles", "said nothing for 0.3 s", true},
    {"two_hellos", "expected 'id'"},
    {"closes_stdout", "closed its stdout"},
    {"ignores_stdin", "said nothing for 0.3 s", true},
    {"stops_itself", "said nothing for 0.3 s", true},
    {"wrong_id", "expected a message about request 3"},
    {"text_id", "expected a message about request 3"},
    {"no_id", "expected 'id'"},
    {"answers_before", "left out 4 of 4 completions"},
    {"row_twice", "told row 0 of prompt 0 twice"},
    {"too_few", "left out 1 of 4 completions"},
    {"too_many", "row: expected a whole number from 0 to 1"},
    {"other_prompt", "prompt: expected a whole number from 0 to 1"},
    {"negative_row", "row: expected a whole number from 0 to 1"},
    {"unknown_token", "ids: expected token ids below 48, one is '48'"},
    {"large_token", "ids: expected token ids below 48, one is '1099511627776'"},
    {"negative_token", "ids: expected token ids below 48, one is '-1'"},
    {"fraction", "ids: expected token ids below 48, one is '5.5'"},
    {"text_token", "ids: expected token ids below 48, one is"},
    {"no_tokens", "ids: expected a list of 1 to 4"},
    {"ids_no_list", "ids: expected a list of 1 to 4"},
    {"not_a_number", "expected a line of JSON"},
    {"minus_infinity", "expected a line of JSON"},
    {"beyond_floats", "expected a line of JSON"},
    {"beyond_float32", "logprobs: expected finite numbers up to 0, one is '-1e+300'"},
    {"null_logprob", "logprobs: expected finite numbers up to 0, one is 'null'"},
    {"positive", "logprobs: expected finite numbers up to 0, one is '0.5'"},
    {"few_logprobs", "logprobs: expected one for each of 3 ids"},
    {"many_logprobs", "logprobs: expected a list of 1 to 3"},
    {"goes_on", "told tokens behind the end of row 0 of prompt 0"},
    {"no_end", "told row 0 of prompt 0 as ended where its tokens do not end it"},
    {"too_long", "ids: expected a list of 1 to 4"},
    {"wrong_finish", "told row 0 of prompt 0 as ended where"},
    {"unknown_finish", "finish_reason: expected stop or length"},
    {"completion_no_object", "expected 'completion' {...}"},
    {"no_usage", "expected 'usage'"},
    {"ok_text", "expected 'ok' true or false"},
    {"bad_error", "expected error {type, message}"},
    {"dies_in_a_line", "ended with exit code 1 in the middle of a line"},
    {"dies_between", "ended with exit code 0"},
    {"never_answers", "said nothing for 0.3 s (rollout.worker_timeout_s)", true},
    {"late", "said nothing for 0.3 s", true},
    {"same_progress", "told progress of 3 tokens and 2 of prompts after 3 and 2"},
    {"falling_progress", "told progress of 3 tokens and 1 of prompts after 2 and 2"},
    {"endless_prompts", "prompt_tokens: expected a whole number from 0 to 4"},
    {"endless_progress", "tokens: expected a whole number from 0 to 16"},
    {"progress_no_object", "expected 'progress' {...}"},
    {"leaves_a_child", "ended with exit code 0"},
};

// What no other process can change, with what is said of it.
const BadCase kEnds[] = {
    {"other_protocol", "the worker's proto: expected 1, got '2'"},
    {"other_kind", "the worker's kind: expected \"generate\", got"},
    {"other_version", "the worker's version: expected"},
    {"other_vocabulary", "the worker's vocab_size: expected 48, got '49'"},
    {"other_end", "the worker's eos_ids: expected [1], got '[2]'"},
    {"hello_of_nothing", "the worker's eos_ids: expected [1], got 'null'"},
    {"other_model", "the worker's model_sha256 of"},
    {"refuses", "the worker says: 'no memory'"},
    {"cannot_load", "the worker says: 'no file'"},
    {"fails", "the worker says: 'out\\nof memory'"},
    {"finds_fault", "the worker says: 'n: too many'"},
};

/// Nothing is left of a worker.
class WorkerEngineTest : public ::testing::Test {
 protected:
  WorkerEngineTest() {
    start_log();
    model();
    descriptors_ = open_descriptors();
  }
  ~WorkerEngineTest() override {
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child was left";
    EXPECT_EQ(open_descriptors(), descriptors_);
  }

 private:
  size_t descriptors_ = 0;
};

// The one line with which it fails.
std::string error_of(BadWorkers& workers) {
  try {
    workers.sample(prompts());
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

void expect_one_line(const std::string& error, const std::string& part) {
  EXPECT_TRUE(error.starts_with("[rollout] the worker")) << error;
  EXPECT_EQ(error.find('\n'), error.npos) << error;
  EXPECT_NE(error.find(part), error.npos) << error;
}

TEST_F(WorkerEngineTest, AGoodWorkerIsStartedOnceAndGivenTheAdapterOnce) {
  BadWorkers workers("good", 0, kLong, 1);
  for (int call = 0; call < 3; ++call) {
    workers.completions_told = 0;
    workers.tokens_told = workers.tokens_spared = 0;
    expect_good_samples(workers, workers.sample(prompts()));
  }
  EXPECT_EQ(workers.starts(), 1u);
  EXPECT_EQ(workers.engine->costs().starts, 1);
  auto bytes =
      fs::file_size(workers.folder() / "adapters/adapter-1/adapters.safetensors");
  EXPECT_EQ(workers.engine->costs().adapter_bytes, static_cast<int64_t>(bytes));
  workers.engine.reset();
  EXPECT_FALSE(fs::exists(workers.folder() / "adapters"));
}

TEST_F(WorkerEngineTest, AMisbehavingWorkerIsReplacedAndNothingIsToldTwice) {
  for (const auto& bad : kTroubles) {
    SCOPED_TRACE(bad.behaviour);
    BadWorkers workers(bad.behaviour, 1, bad.waits_long ? kShort : kLong, 30);
    {
      LogFile log(workers.folder() / "log.txt");
      expect_good_samples(workers, workers.sample(prompts()));
    }
    auto said = testing::read_text(workers.folder() / "log.txt");
    auto first = said.substr(0, said.find('\n'));
    EXPECT_NE(first.find(bad.said), first.npos) << said;
    EXPECT_NE(first.find("another is started and asked again"), first.npos) << said;
    auto lines = std::ranges::count(said, '\n');
    EXPECT_EQ(static_cast<size_t>(lines) + 1, workers.starts()) << said;
  }
}

TEST_F(WorkerEngineTest, OneThatNeverGetsBetterIsGivenUpWithOneLine) {
  for (const auto& bad : kTroubles) {
    SCOPED_TRACE(bad.behaviour);
    BadWorkers workers(bad.behaviour, 1000, bad.waits_long ? kShort : kLong, 1);
    auto start = std::chrono::steady_clock::now();
    expect_one_line(error_of(workers), bad.said);
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    EXPECT_LT(took.count(), kLong / 2);
    EXPECT_EQ(workers.starts(), 1u);
  }
}

TEST_F(WorkerEngineTest, WhatAnotherProcessCannotChangeEndsAtOnce) {
  for (const auto& bad : kEnds) {
    SCOPED_TRACE(bad.behaviour);
    BadWorkers workers(bad.behaviour, 1000, kLong, 5);
    expect_one_line(error_of(workers), bad.said);
    EXPECT_EQ(workers.starts(), 1u);
  }
}

TEST_F(WorkerEngineTest, IsGivenUpAfterSoManyFailuresInARow) {
  BadWorkers workers("exits", 1000, kLong, 4);
  expect_one_line(error_of(workers), "given up after 4 failures in a row");
  EXPECT_EQ(workers.starts(), 4u);
  expect_one_line(error_of(workers), "given up after 4 failures in a row");
}

TEST_F(WorkerEngineTest, AGreetingHasATimeOfItsOwn) {
  BadWorkers slow("greets_late", 1, kPatient, 1, kLong);
  expect_good_samples(slow, slow.sample(prompts()));
  BadWorkers silent("silent", 1000, kLong, 1, kShort);
  auto start = std::chrono::steady_clock::now();
  expect_one_line(error_of(silent), "said nothing for 0.3 s (rollout.worker_start_s)");
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_LT(took.count(), kLong / 2);
}

TEST_F(WorkerEngineTest, PromptsThatAreRunForLongAreWaitedFor) {
  BadWorkers workers("runs_prompts", 1, kPatient, 1);
  expect_good_samples(workers, workers.sample(prompts()));
}

TEST_F(WorkerEngineTest, ASecondAnswerIsNotTakenForTheNextOne) {
  BadWorkers workers("answers_twice", 1, kLong, 3);
  workers.sample(prompts());
  workers.completions_told = 0;
  workers.tokens_told = workers.tokens_spared = 0;
  expect_good_samples(workers, workers.sample(prompts()));
  EXPECT_EQ(workers.starts(), 2u);
}

TEST_F(WorkerEngineTest, AFloodOnStderrDisturbsNothing) {
  BadWorkers workers("floods_stderr", 1, kLong, 1);
  expect_good_samples(workers, workers.sample(prompts()));
  EXPECT_EQ(fs::file_size(workers.folder() / "worker.stderr"), 1u << 20);
}

TEST_F(WorkerEngineTest, OneThatDoesNotReadCannotStopUsByAFullPipe) {
  BadWorkers workers("ignores_stdin", 1000, kShort, 1);
  std::vector<Prompt> large = {{std::vector<int>(300000, 5), 0}};
  EXPECT_THROW(workers.sample(large), std::runtime_error);
}

TEST_F(WorkerEngineTest, OneThatStaysIsKilled) {
  BadWorkers workers("stays", 1, kLong, 1);
  workers.sample(prompts());
  auto start = std::chrono::steady_clock::now();
  workers.engine.reset();
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took.count(), kShort);
  EXPECT_LT(took.count(), kShort + 5);
}

TEST_F(WorkerEngineTest, WhoeverFollowsTheSamplesMayEndThem) {
  BadWorkers workers("good", 0, kLong, 1);
  SamplingConfig sampling;
  sampling.max_tokens = 4;
  auto asked = prompts();
  WorkerEvents stop{[](int64_t, int64_t) { throw std::logic_error("stop"); }, {}};
  EXPECT_THROW(
      workers.engine->generate(model(), asked, kRows, sampling, stop),
      std::logic_error);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "it goes on";
  expect_good_samples(workers, workers.sample(asked));
  EXPECT_EQ(workers.starts(), 2u);
}

TEST_F(WorkerEngineTest, AChangedAdapterIsHandedOverAndTheOldOneRemoved) {
  BadWorkers workers("good", 0, kLong, 1);
  auto changed = tiny_student();
  SamplingConfig sampling;
  sampling.max_tokens = 4;
  auto asked = prompts();
  for (int step = 1; step <= 3; ++step) {
    auto arrays = trained_arrays(changed.decoder);
    for (auto& array : arrays) array = array + 1.0f;
    assign_trained(changed.decoder, arrays);
    workers.engine->generate(changed, asked, kRows, sampling);
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(workers.folder() / "adapters"))
      names.push_back(entry.path().filename());
    EXPECT_EQ(names, std::vector{"adapter-" + std::to_string(step)});
  }
}

}  // namespace
}  // namespace pupil
