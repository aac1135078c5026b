// `pupil score` from end to end: tests, format, rubric, penalties, a pattern and a
// program of the user's.

#include <gtest/gtest.h>

#include "app/mbpp_scores.h"

namespace pupil::testing {
namespace {

using nlohmann::json;

constexpr const char* kProgram = R"py(
import json, os, sys
print("warming up", file=sys.stderr)
for line in sys.stdin:
    request = json.loads(line)
    scores = [None if "skip" in item["completion"] else
              (5 if "OPENAI_API_KEY" in os.environ else len(item["task"]["tests"]))
              for item in request["items"]]
    print(json.dumps({"id": request["id"], "scores": scores}), flush=True)
)py";

constexpr const char* kAdd = "```python\ndef add(a, b):\n    return a + b\n```";

class ScoreTest : public ::testing::Test {
 protected:
  ScoreTest() {
    world_.write(
        "math.jsonl",
        R"({"id":"add","prompt":"Add.","tests":["assert add(1, 2) == 3","assert add(2, 2) == 4"]})"
        "\n"
        R"({"id":7,"prompt":"Say anything."})"
        "\n");
    world_.write("mine.py", kProgram);
    world_.write("rewards.yaml", R"(
reward:
  functions:
    - {name: tests, weight: 1.0}
    - {name: format, weight: 0.5}
    - {name: rubric, weight: 0}
    - {command: [python3, mine.py], weight: 0.25}
)");
    answers(
        {{"add", kAdd},
         {7, "skip"},
         {"add", "```python\ndef add(a, b):\n    return 2 * a\n```"},
         {7, kAdd},
         {"add", "I do not know. skip"}});
  }

  void answers(const std::vector<std::pair<json, std::string>>& list) {
    std::string lines;
    for (const auto& [id, text] : list) {
      lines += json{{"id", id}, {"completion", text}}.dump() + "\n";
    }
    world_.write("answers.jsonl", lines);
  }

  ProgramResult score(const std::string& arguments) const {
    return world_.run(
        "score --tasks math.jsonl --completions answers.jsonl " + arguments);
  }

  std::vector<json> objects(const std::string& arguments) const {
    const auto run = score("--json " + arguments);
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    std::vector<json> all;
    std::istringstream lines(run.output);
    for (std::string line; std::getline(lines, line);) all.push_back(json::parse(line));
    return all;
  }

  TinyWorld world_;
};

TEST_F(ScoreTest, OneObjectACompletionInInputOrder) {
  const auto all = objects("-c rewards.yaml");
  ASSERT_EQ(all.size(), 5u);
  EXPECT_EQ(all[0].at("id"), "add");
  EXPECT_EQ(all[1].at("id"), 7);
  EXPECT_EQ(all[0].at("rewards").at("tests"), 1.0);
  EXPECT_EQ(all[2].at("rewards").at("tests"), 0.5);
  EXPECT_EQ(all[4].at("rewards").at("tests"), 0.0);
  EXPECT_EQ(all[0].at("rewards").at("format"), 1.0);
  EXPECT_TRUE(all[0].at("rewards").at("rubric").is_number());
  EXPECT_EQ(all[0].at("rewards").at("mine"), 2.0);
  EXPECT_EQ(all[0].at("reward"), 1.0 + 0.5 * 1.0 + 0.25 * 2.0);
  EXPECT_EQ(all[2].at("reward"), 0.5 + 0.5 * 1.0 + 0.25 * 2.0);
  EXPECT_TRUE(all[4].at("reward").is_null());  // mine scored others of its task
  EXPECT_EQ(all[4].at("reasons").at("mine"), "the program gave no score");
  EXPECT_TRUE(all[1].at("rewards").at("tests").is_null());
  EXPECT_EQ(all[1].at("reasons").at("tests"), "the task has no tests");
  EXPECT_EQ(all[3].at("rewards").at("mine"), 0.0);
}

TEST_F(ScoreTest, WithoutAConfigTheDefaultRewards) {
  const auto all = objects("");
  ASSERT_EQ(all.size(), 5u);
  EXPECT_EQ(all[0].at("rewards").size(), 3u);
  EXPECT_EQ(all[0].at("rewards").at("tests"), 1.0);
  EXPECT_TRUE(all[1].at("reward").is_number());  // nothing tests it
}

TEST_F(ScoreTest, ATableWithMeans) {
  const auto run = score("-c rewards.yaml --reward.functions.3.weight=0");
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  const auto has = [&](const std::string& text) {
    return run.output.find(text) != std::string::npos;
  };
  EXPECT_TRUE(has("task  ")) << run.output;
  EXPECT_TRUE(has("mine")) << run.output;
  EXPECT_TRUE(has("mean")) << run.output;
  EXPECT_TRUE(has("unscored")) << run.output;
  EXPECT_EQ(std::count(run.output.begin(), run.output.end(), '\n'), 2 + 5 + 2);
}

// Length and repetition count the student's tokens.
TEST_F(ScoreTest, PenaltiesNeedATokenizerOrAreUnscored) {
  answers({{7, "a b a b a b"}, {7, "a"}, {7, ""}});
  const std::string functions =
      "'--reward.functions=[{name: length, max_completion_len: 4, soft_punish_cache: "
      "2}, "
      "{name: repetition, ngram_size: 2}]' ";
  auto all = objects(functions + "--hardware.mlx_model_path=model");
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].at("rewards").at("length"), -1.0);
  EXPECT_LT(all[0].at("rewards").at("repetition"), -0.3);
  EXPECT_EQ(all[1].at("rewards").at("length"), 0.0);
  EXPECT_EQ(all[2].at("reward"), 0.0);
  all = objects(functions + "--hardware.mlx_model_path=nowhere");
  for (const auto& object : all) EXPECT_TRUE(object.at("reward").is_null()) << object;
  EXPECT_EQ(all[0].at("reasons").at("length"), "its tokens are not known");
}

TEST_F(ScoreTest, Patterns) {
  answers({{7, kAdd}, {7, "x"}});
  const auto all = objects(
      "'--reward.functions=[{name: fenced, pattern: \"^```python\"}, {name: regex, "
      "pattern: x, weight: -2}]'");
  EXPECT_EQ(all[0].at("reward"), 1.0);
  EXPECT_EQ(all[1].at("reward"), -2.0);
  EXPECT_EQ(all[1].at("rewards").at("fenced"), 0.0);
}

TEST_F(ScoreTest, AProgramThatDiesIsUnscoredAndNoFailure) {
  world_.write(
      "mine.py", "import sys\nprint('no licence', file=sys.stderr)\nsys.exit(3)\n");
  const auto run = score("-c rewards.yaml --json");
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  const auto first = json::parse(run.output.substr(0, run.output.find('\n')));
  EXPECT_TRUE(first.at("rewards").at("mine").is_null());
  const std::string reason = first.at("reasons").at("mine");
  EXPECT_NE(
      reason.find("ended with exit code 3; its stderr ends 'no licence'"), reason.npos)
      << reason;
  EXPECT_EQ(first.at("reward"), 1.5);  // it scored nobody
  EXPECT_NE(run.errors.find("given up after 5 failures"), std::string::npos);
}

TEST_F(ScoreTest, TheTeachersKeyIsNotForPrograms) {
  const auto run = run_shell(
      "cd '" + world_.at("").string() +
      "' && env -i PATH=/usr/bin:/bin OPENAI_API_KEY=sk-canary '" PUPIL_EXECUTABLE
      "' score --tasks math.jsonl --completions answers.jsonl --json "
      "'--reward.functions=[{command: [python3, mine.py]}]'");
  ASSERT_EQ(run.exit_code, 0);
  EXPECT_EQ(json::parse(run.output.substr(0, run.output.find('\n'))).at("reward"), 2.0);
}

struct BadFile {
  std::string completions, says;
};

TEST_F(ScoreTest, BadCompletionsNameTheLine) {
  const std::vector<BadFile> files = {
      {"", "[answers.jsonl] expected at least one completion, got none"},
      {"\n\n", "[answers.jsonl] expected at least one completion, got none"},
      {"{\"id\":\"add\",\"completion\":\"x\"}\n{\"id\":\"sub\",\"completion\":\"x\"}\n",
       "[answers.jsonl:2] no task of math.jsonl has the id 'sub'; expected one of its "
       "2 "
       "ids, such as 'add'"},
      {"{\"completion\":\"x\"}\n", "[answers.jsonl:1] `id` is missing"},
      {"{\"id\":\"add\"}\n", "[answers.jsonl:1] `completion` is missing"},
      {"{\"id\":\"add\",\"completion\":3}\n",
       "[answers.jsonl:1] `completion`: expected text, got number"},
      {"{\"id\":1.5,\"completion\":\"x\"}\n",
       "[answers.jsonl:1] `id`: expected text or an integer, got number"},
      {"\n{\"id\":", "[answers.jsonl:2] not valid JSON at byte"},
      {"[1]\n", "[answers.jsonl:1] expected a JSON object, got array"},
      {"{\"id\":\"\xff\"}\n", "[answers.jsonl:1] not valid UTF-8"}};
  for (const auto& [completions, says] : files) {
    world_.write("answers.jsonl", completions);
    EXPECT_TRUE(failed(score(""), 1, says)) << completions;
  }
}

TEST_F(ScoreTest, OtherMistakesAreOneLineToo) {
  const auto with = [&](const std::string& functions) {
    return score("'--reward.functions=[" + functions + "]'");
  };
  EXPECT_TRUE(failed(with("{command: [no-such-program]}"), 1, "no program"));
  EXPECT_TRUE(failed(with("{pattern: \"(?=x)\"}"), 1, "regex: pattern '(?=x)': "));
  EXPECT_TRUE(failed(with("{name: tets}"), 2, "reward.functions.0.name: expected one"));
  EXPECT_TRUE(failed(with("{name: teacher}"), 1, "'teacher' needs teacher.provider"));
  EXPECT_TRUE(failed(
      with("{name: regex, pattern: a}, {name: regex, pattern: b}"),
      1,
      "a second reward named 'regex'"));
  EXPECT_TRUE(failed(
      world_.run("score --tasks nowhere --completions answers.jsonl"),
      1,
      "[nowhere] cannot be opened"));
  EXPECT_TRUE(failed(
      world_.run("score --tasks math.jsonl --completions nowhere"),
      1,
      "[nowhere] cannot be opened"));
  EXPECT_TRUE(failed(world_.run("score --tasks math.jsonl"), 2, "--completions"));
  EXPECT_TRUE(failed(score("-c nowhere.yaml"), 1, "nowhere.yaml"));
  EXPECT_TRUE(failed(score("--reward.nothing=1"), 2, "no such key"));
}

// 60 of the 500; the rest in score_long_test.cpp.
TEST(ScoreMbpp, SolutionsScoreOneAndBrokenOnesBelow) {
  if (!std::filesystem::exists(kMbpp)) GTEST_SKIP() << kMbpp << " is missing";
  expect_mbpp_is_told_apart(60);
}

// The user's program takes part in a run, and its stderr is kept there.
TEST_F(ScoreTest, AProgramScoresATrainingRun) {
  const auto run = world_.run(
      "train -c config.yaml --reward.aggregation=normalize_then_sum "
      "'--reward.functions=[{name: format}, {command: [python3, mine.py], weight: "
      "0.5}]'");
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_NE(world_.read("run/rollouts.jsonl").find("\"mine\":0.0"), std::string::npos);
  EXPECT_EQ(world_.read("run/rewards/mine.stderr"), "warming up\n");
  EXPECT_NE(
      world_.read("run/config.yaml")
          .find("{weight: 0.5, share: 1, command: [python3, mine.py]}"),
      std::string::npos)
      << world_.read("run/config.yaml");
}

TEST_F(ScoreTest, AProgramThatCannotStayUpStopsARunBeforeItBegins) {
  world_.write("mine.py", "import no_such_module\n");
  const auto run = world_.run(
      "train -c config.yaml '--reward.functions=[{command: [python3, mine.py]}]'");
  EXPECT_TRUE(failed(
      run,
      1,
      "[config] reward.functions: mine: its program does not stay up: ended with exit "
      "code 1; its stderr ends 'ModuleNotFoundError: No module named "
      "'no_such_module''"));
  EXPECT_FALSE(std::filesystem::exists(world_.at("run/config.yaml")));
}

}  // namespace
}  // namespace pupil::testing
