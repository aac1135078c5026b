// `pupil train` with a teacher that misbehaves, through the executable: a tiny random
// student, a scripted server on loopback, and what is in the run directory at the end.

#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "app/run_program.h"
#include "app/samples.h"
#include "app/tiny_student.h"
#include "base/error.h"
#include "reward/judge.h"
#include "support/files.h"
#include "support/teacher_world.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<json> rows_of(const fs::path& path) {
  std::vector<json> rows;
  std::istringstream in(read_text(path));
  for (std::string line; std::getline(in, line);) rows.push_back(json::parse(line));
  return rows;
}

uint64_t hash_of(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash >> 8;
}

int grade_of(const std::string& answer) {
  return static_cast<int>(hash_of(answer) % 11);
}

std::string question_of(const SeenRequest& request) {
  return json::parse(request.body).at("messages").back().at("content");
}

bool is_judging(const SeenRequest& request) {
  return request.body.find("submission") != std::string::npos;
}

// The student's answer, out of a judge's question: "The mark is M.\n{JSON}\n...".
std::string answer_in(const std::string& question) {
  size_t first = question.find('\n') + 1;
  auto data = json::parse(question.substr(first, question.find('\n', first) - first));
  auto marked = data.at("submission").get<std::string>();
  size_t mark = marked.find('\n');
  return marked.substr(mark + 1, marked.size() - 2 * mark - 2);
}

bool is_the_known_program(const std::string& answer) {
  return answer.find("def add") != std::string::npos;
}

// A judge whose grade follows from the answer, asked for the `times`th time.
using Mood = std::function<ScriptedReply(const std::string& answer, int times)>;

ScriptedServer::Handler judge_with(Mood mood) {
  auto asked = std::make_shared<std::pair<std::mutex, std::map<std::string, int>>>();
  return [=](const SeenRequest& request) {
    auto answer = answer_in(question_of(request));
    int times;
    {
      std::lock_guard lock(asked->first);
      times = ++asked->second[answer];
    }
    bool known = is_the_known_program(answer);
    auto reply = known ? openai_reply(grades(9)) : mood(answer, times);
    reply.delay_s += 0.001 * static_cast<double>(hash_of(answer) % 30);
    return reply;
  };
}

ScriptedReply good(const std::string& answer, int = 1) {
  return openai_reply(grades(grade_of(answer)));
}

// Trouble that passes when asked again.
ScriptedReply moody(const std::string& answer, int times) {
  if (times > 1) return good(answer);
  switch (hash_of(answer) / 11 % 6) {
    case 0:
      return error_reply(500, "server_error", "kaput");
    case 1: {
      auto reply = error_reply(429, "rate_limit_error", "slow down");
      reply.headers = {{"Retry-After", "0.3"}};
      return reply;
    }
    case 2:
      return openai_reply("8/10, nice work");
    case 3: {
      auto reply = good(answer);
      reply.cut_at = reply.body.size() / 2;
      return reply;
    }
    default:
      return good(answer);
  }
}

// Trouble that stays: what the sample's reason must then say; empty: it is scored.
std::string trouble_with(const std::string& answer) {
  switch (hash_of(answer) / 11 % 5) {
    case 0:
      return "kaput";
    case 1:
      return "JSON object";
    case 2:
      return "refused";
    default:
      return "";
  }
}

ScriptedReply broken(const std::string& answer, int) {
  switch (hash_of(answer) / 11 % 5) {
    case 0:
      return error_reply(500, "server_error", "kaput");
    case 1:
      return openai_reply("10 points!");
    case 2:
      return openai_reply("no", "content_filter");
    default:
      return good(answer);
  }
}

class TeacherRun : public ::testing::Test {
 protected:
  void SetUp() override {
    write_tiny_student(dir_.path() / "model");
    write_text(
        at("tasks.jsonl"),
        "{\"id\": \"t1\", \"prompt\": \"double x\", \"language\": \"text\"}\n"
        "{\"id\": \"t2\", \"prompt\": \"add a and b\", \"language\": \"text\"}\n"
        "{\"id\": \"t3\", \"prompt\": \"count to 9\", \"language\": \"text\"}\n");
    write_text(
        at("eval.jsonl"),
        "{\"id\": \"e1\", \"prompt\": \"held out\", \"language\": \"text\"}\n");
  }

  fs::path at(const std::string& name) const { return dir_.path() / name; }

  std::string config(const ScriptedServer& server) const {
    auto path = [&](const char* name) { return at(name).string(); };
    write_text(
        at("config.yaml"),
        "seed: 3\nhardware: {device: cpu, threads: 1, mlx_model_path: " +
            path("model") + "}\ndata: {train: " + path("tasks.jsonl") +
            "}\nrollout: {num_generations: 6, max_completion_length: 16}\n"
            "reward: {functions: [{name: teacher}, {name: format, weight: 0.2}]}\n"
            "teacher: {provider: openai, model: judge-1, max_retries: 1, "
            "max_outage_s: 0, base_url: \"" +
            server.url() + "/v1\", cache: " + path("cache.sqlite") +
            "}\ntrain: {max_steps: 3, prompts_per_step: 2, learning_rate: 0.01, "
            "save_steps: 100}\n");
    return path("config.yaml");
  }

  // `pupil train` into the folder `run`, stderr after stdout.
  ShellResult train(
      const ScriptedServer& server,
      const std::string& run,
      const std::string& more = "",
      const std::string& key = std::string("OPENAI_API_KEY=") + kCanaryKey) const {
    return run_shell(
        "env -i PATH=/usr/bin:/bin " + key + " '" PUPIL_EXECUTABLE "' train -c '" +
        config(server) + "' --logging.run_dir='" + at(run).string() + "' " + more +
        " 2>&1");
  }

  // A second look at every row of rollouts.jsonl; returns how many have no score.
  int expect_scores_follow_texts(const std::string& run, bool may_fail) const {
    int unscored = 0;
    for (const auto& row : rows_of(at(run) / "rollouts.jsonl")) {
      auto text = row.at("completion").get<std::string>();
      const auto& score = row.at("scores").at("teacher");
      auto trouble = may_fail ? trouble_with(text) : "";
      if (degenerate(text, "text")) {
        EXPECT_EQ(score, 0.0) << row;
      } else if (trouble.empty()) {
        EXPECT_NEAR(score.get<double>(), grade_of(text) / 10.0, 1e-12) << row;
      } else {
        ++unscored;
        EXPECT_TRUE(score.is_null()) << row;
        EXPECT_TRUE(has(row.at("reasons").at("teacher"), trouble));
        EXPECT_EQ(row.at("advantage"), 0.0);
      }
      EXPECT_EQ(row.at("reward"), score);  // `format` has no say on such tasks
    }
    return unscored;
  }

  TempDir dir_;
};

// Mean and count of the rewards of one step's rollouts.
std::pair<double, int> rewards_of_step(const std::vector<json>& rollouts, int step) {
  double sum = 0;
  int count = 0;
  for (const auto& row : rollouts) {
    if (row.at("step") != step || row.at("reward").is_null()) continue;
    sum += row.at("reward").get<double>();
    ++count;
  }
  return {sum / count, count};
}

bool in_any_file(const fs::path& folder, const std::string& text) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    if (read_text(entry.path()).find(text) != std::string::npos) return true;
  }
  return false;
}

TEST_F(TeacherRun, ScoresStayWithTheirSamplesAndASecondRunAsksNothing) {
  ScriptedServer server(judge_with(moody));
  auto first = train(server, "first");
  ASSERT_EQ(first.exit_code, 0) << first.output;
  EXPECT_EQ(rows_of(at("first") / "rollouts.jsonl").size(), 3u * 2 * 6);
  EXPECT_EQ(expect_scores_follow_texts("first", false), 0);
  size_t asked = server.count();
  EXPECT_GT(asked, 20u);

  auto second = train(server, "second");
  ASSERT_EQ(second.exit_code, 0) << second.output;
  EXPECT_EQ(server.count(), asked);
  EXPECT_EQ(
      read_text(at("first") / "rollouts.jsonl"),
      read_text(at("second") / "rollouts.jsonl"));

  EXPECT_EQ(
      server.seen()[0].headers.at("authorization"),
      std::string("Bearer ") + kCanaryKey);
  EXPECT_FALSE(in_any_file(dir_.path(), "canary"));
  EXPECT_EQ((first.output + second.output).find("canary"), std::string::npos);
}

TEST_F(TeacherRun, FailuresAreUnscoredAndOutsideTheMean) {
  ScriptedServer server(judge_with(broken));
  auto run = train(server, "run", "--train.max_steps=2 --data.limit=2");
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_GT(expect_scores_follow_texts("run", true), 0);
  auto rollouts = rows_of(at("run") / "rollouts.jsonl");
  auto metrics = rows_of(at("run") / "metrics.jsonl");
  ASSERT_EQ(metrics.size(), 2u);
  for (const auto& row : metrics) {
    auto [mean, count] = rewards_of_step(rollouts, row.at("step"));
    EXPECT_NEAR(row.at("reward").get<double>(), mean, 1e-9);
    EXPECT_EQ(row.at("unscored"), 12 - count);
    EXPECT_EQ(row.at("rollout/source"), 0.0);
  }
}

TEST_F(TeacherRun, AKeyThatIsMissingOrWrongEndsItBeforeAnyTraining) {
  ScriptedServer server(
      [](const SeenRequest&) { return error_reply(401, "auth", "Incorrect API key"); });
  auto missing = train(server, "missing", "--teacher.api_key_env=MY_KEY");
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_TRUE(has(missing.output, "the environment variable MY_KEY is not set"));
  EXPECT_EQ(server.count(), 0u);
  EXPECT_FALSE(fs::exists(at("missing")));

  auto wrong = train(server, "wrong");
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_TRUE(has(wrong.output, "Incorrect API key; check the key in OPENAI_API_KEY"));
  EXPECT_EQ(read_text(at("wrong") / "metrics.jsonl"), "");
  EXPECT_EQ(server.count(), 1u);
}

TEST_F(TeacherRun, AnEmptyPurseKeepsWhatIsDoneAndTheRunGoesOn) {
  std::atomic<int> left = 18;  // one and a half steps
  ScriptedServer server(judge_with([&](const std::string& answer, int) {
    if (left-- > 0) return good(answer);
    return error_reply(429, "insufficient_quota", "pay first");
  }));
  auto stopped = train(server, "run");
  EXPECT_EQ(stopped.exit_code, 3) << stopped.output;
  EXPECT_TRUE(has(stopped.output, "no quota or credit is left"));
  ASSERT_TRUE(fs::exists(at("run") / "checkpoints/step-000001")) << stopped.output;
  EXPECT_EQ(rows_of(at("run") / "metrics.jsonl").size(), 1u);

  left = 1000;
  auto resumed = train(server, "run", "--resume '" + at("run").string() + "'");
  ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
  ScriptedServer fresh(judge_with(good));
  ASSERT_EQ(train(fresh, "whole", "--teacher.cache=:memory:").exit_code, 0);
  for (const char* name : {"rollouts.jsonl", "adapters/adapters.safetensors"}) {
    EXPECT_EQ(read_text(at("run") / name), read_text(at("whole") / name)) << name;
  }
}

// Writes answers that the judge above can tell apart, but for each fifth.
ScriptedReply writing(const SeenRequest& request) {
  if (is_judging(request)) {
    auto answer = answer_in(question_of(request));
    return openai_reply(grades(is_the_known_program(answer) ? 9 : grade_of(answer)));
  }
  if (request.index % 5 == 4) return error_reply(400, "bad", "not that one");
  return openai_reply("f(" + std::to_string(request.index) + ")");
}

TEST_F(TeacherRun, TheTeacherWritesTheSamplesAndTheStudentIsMeasured) {
  ScriptedServer server(writing);
  auto run = train(
      server,
      "run",
      "--hardware.use_mlx_for_generation=false --train.eval_samples=2 --data.eval='" +
          at("eval.jsonl").string() + "'");
  ASSERT_EQ(run.exit_code, 0) << run.output;
  std::map<int, int> missing;
  for (const auto& row : rows_of(at("run") / "rollouts.jsonl")) {
    EXPECT_EQ(row.at("source"), "teacher");
    EXPECT_TRUE(row.at("logp_difference").is_null());
    if (row.at("completion").is_null()) {
      ++missing[row.at("step")];
      EXPECT_TRUE(has(row.at("missing"), "not that one"));
      EXPECT_TRUE(row.at("reward").is_null());
      EXPECT_TRUE(row.at("scores").at("teacher").is_null());
      EXPECT_TRUE(has(row.at("reasons").at("teacher"), "not that one"));
      EXPECT_EQ(row.at("advantage"), 0.0);
    } else {
      auto text = row.at("completion").get<std::string>();
      EXPECT_EQ(text.substr(0, 2), "f(");
      EXPECT_NEAR(row.at("reward").get<double>(), grade_of(text) / 10.0, 1e-12);
    }
  }
  EXPECT_FALSE(missing.empty());
  for (const auto& row : rows_of(at("run") / "metrics.jsonl")) {
    EXPECT_EQ(row.at("rollout/source"), 1.0);
    EXPECT_EQ(row.at("completions/missing"), missing[row.at("step")]);
    EXPECT_EQ(row.at("unscored"), missing[row.at("step")]);
    EXPECT_GE(row.at("completions/min_length").get<double>(), 5.0);  // "f(n)" and EOS
    EXPECT_GT(row.at("grad_norm").get<double>(), 0.0);
  }
  for (const auto& request : server.seen()) {
    EXPECT_TRUE(is_judging(request) || question_of(request) != "held out");
  }
  EXPECT_TRUE(fs::exists(at("run") / "report.json"));
}

TEST_F(TeacherRun, WithoutAStudentThereIsNothingToTrain) {
  ScriptedServer server(judge_with(good));
  auto run = train(server, "run", "--hardware.mlx_model_path=/no/such/model");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_TRUE(has(run.output, "/no/such/model"));
  EXPECT_TRUE(has(run.output, "the student to be trained"));
  EXPECT_EQ(server.count(), 0u);
}

TEST(Fallback, TakesARoundFromTheTeacherWhereSamplingBreaksDown) {
  std::function<void()> trouble = [] {};
  std::vector<std::string> by;
  auto samples = with_fallback(
      [&](std::span<RolloutGroup>, int, const SamplingEvents&) {
        trouble();
        by.push_back("student");
      },
      [&](std::span<RolloutGroup>, int, const SamplingEvents&) {
        by.push_back("teacher");
      });
  samples({}, 1, {});
  trouble = [] { throw std::runtime_error("[malloc] Unable to allocate"); };
  samples({}, 1, {});
  trouble = [] {};
  samples({}, 1, {});
  EXPECT_EQ(by, (std::vector<std::string>{"student", "teacher", "student"}));
  trouble = [] { throw Stopped("asked to"); };
  EXPECT_THROW(samples({}, 1, {}), Stopped);
  trouble = [] { throw std::invalid_argument("too long a prompt"); };
  EXPECT_THROW(samples({}, 1, {}), std::invalid_argument);
  EXPECT_EQ(by.size(), 3u);
}

TEST_F(TeacherRun, AFallbackWithoutATeacherIsRefused) {
  ScriptedServer server(judge_with(good));
  auto run = train(
      server,
      "run",
      "--rollout.fallback=teacher --teacher.provider=none "
      "'--reward.functions=[{name: format}]'");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_TRUE(has(run.output, "rollout.fallback: teacher needs a teacher"));
}

}  // namespace
}  // namespace pupil::testing
