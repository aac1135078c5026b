// `pupil collect` and `pupil cache`, through the executable.

#include <gtest/gtest.h>

#include <unistd.h>

#include <mutex>
#include <regex>
#include <set>
#include <sstream>

#include "app/run_rows.h"
#include "app/tiny_world.h"
#include "data/lesson_file.h"
#include "support/teacher_world.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Writes programs, and grades them by the number in them.
ScriptedReply teach(const SeenRequest& request) {
  auto body = json::parse(request.body);
  std::string text = body.at("messages").back().at("content");
  if (request.body.find("submission") == std::string::npos) {
    auto number = std::to_string(request.index % 4);
    return openai_reply("```python\ndef f(x):\n    return x + " + number + "\n```");
  }
  auto at = text.find("x + ");
  return openai_reply(grades(at == text.npos ? 9 : text.at(at + 4) - '0'));
}

class Collect : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string tasks;
    for (int i = 0; i < 40; ++i) {
      tasks += R"({"id":"t)" + std::to_string(i) + R"(","prompt":"f )" +
               std::to_string(i) + R"(","entry_point":"f"})" + "\n";
    }
    world_.write("tasks.jsonl", tasks);
  }

  std::vector<std::string> arguments(
      const std::string& url, const std::string& source) const {
    return {
        "collect",
        "-c",
        "config.yaml",
        "--out",
        "data.jsonl",
        "--source",
        source,
        "--reward.functions=[{name: teacher}]",
        "--rollout.num_generations=4",
        "--teacher.provider=openai",
        "--teacher.model=judge-1",
        "--teacher.max_concurrency=4",
        "--teacher.cache=cache.sqlite",
        "--teacher.base_url=" + url};
  }

  ProcessResult collect(
      const std::string& url,
      const std::string& source,
      const std::vector<std::string>& more = {}) const {
    auto all = arguments(url, source);
    all.insert(all.end(), more.begin(), more.end());
    return RunningPupil(world_.at(""), all).finish();
  }

  TinyWorld world_;
};

TEST_F(Collect, TheTeachersAnswersNeedNoStudentAndArePaidOnce) {
  fs::remove_all(world_.at("model"));
  ScriptedServer server(teach);
  auto run = collect(server.url(), "teacher");
  ASSERT_EQ(run.exit_code, 0) << run.output;
  auto text = world_.read("data.jsonl");
  auto rows = rows_of(text);
  ASSERT_EQ(rows.size(), 160u);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto& row = rows[i];
    EXPECT_EQ(row.at("task"), "t" + std::to_string(i / 4));
    EXPECT_EQ(row.at("source"), "teacher");
    const auto& messages = row.at("messages");
    EXPECT_EQ(messages.at(0).at("content"), "f " + std::to_string(i / 4));
    EXPECT_EQ(messages.back().at("role"), "assistant");
    std::string answer = messages.back().at("content");
    int grade = answer.at(answer.find("x + ") + 4) - '0';
    EXPECT_NEAR(row.at("reward").get<double>(), grade / 10.0, 1e-12);
  }
  size_t sent = server.count();
  auto again = collect(server.url(), "teacher");
  ASSERT_EQ(again.exit_code, 0) << again.output;
  EXPECT_EQ(server.count(), sent);
  EXPECT_EQ(world_.read("data.jsonl"), text);
  EXPECT_FALSE(fs::exists(world_.at("data.jsonl.part")));
  EXPECT_FALSE(fs::exists(world_.at("data.jsonl.spent.sqlite")));
}

TEST_F(Collect, AKilledRunGoesOnAndNothingIsPaidTwice) {
  std::mutex mutex;
  std::multiset<std::string> asked;
  const std::regex marks("[0-9a-f]{32}");  // new in each request for a grade
  ScriptedServer server([&](const SeenRequest& request) {
    {
      std::lock_guard lock(mutex);
      asked.insert(std::regex_replace(request.body, marks, ""));
    }
    auto reply = teach(request);
    reply.delay_s = 0.002;
    return reply;
  });
  {
    RunningPupil pupil(world_.at(""), arguments(server.url(), "teacher"));
    while (server.count() < 150) usleep(1000);
    pupil.signal(SIGKILL);
    pupil.finish();
  }
  EXPECT_FALSE(fs::exists(world_.at("data.jsonl")));
  EXPECT_TRUE(fs::exists(world_.at("data.jsonl.part")));
  usleep(50000);
  auto run = collect(server.url(), "teacher");
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_EQ(rows_of(world_.read("data.jsonl")).size(), 160u);
  // Four samples of one prompt are four requests of one body; what was in flight when
  // the process died, at most four, was asked for again.
  size_t more = 0;
  for (const auto& body : std::set<std::string>(asked.begin(), asked.end())) {
    size_t usual = body.find("submission") == body.npos ? 4 : 1;
    more += std::max(asked.count(body), usual) - usual;
  }
  EXPECT_LE(more, 4u);
}

TEST_F(Collect, TheStudentsAnswersAreItsOwn) {
  ScriptedServer server(teach);
  auto run = collect(server.url(), "student");
  ASSERT_EQ(run.exit_code, 0) << run.output;
  auto rows = rows_of(world_.read("data.jsonl"));
  EXPECT_EQ(rows.size(), 160u);
  for (const auto& row : rows) {
    EXPECT_EQ(row.at("source"), "student");
    EXPECT_GE(row.at("reward").get<double>(), 0.0);
  }
}

// The number in an answer of `teach`.
int number_of(const json& messages) {
  std::string text = messages.at(0).at("content");
  return text.at(text.find("x + ") + 4) - '0';
}

TEST_F(Collect, PairsAreTheBestAndTheWorstOfAGroupAndDpoReadsThem) {
  ScriptedServer server(teach);
  auto run = collect(server.url(), "teacher", {"--pairs"});
  ASSERT_EQ(run.exit_code, 0) << run.output;
  auto rows = rows_of(world_.read("data.jsonl"));
  ASSERT_FALSE(rows.empty());
  for (const auto& row : rows) {
    EXPECT_NEAR(row.at("chosen_reward"), number_of(row.at("chosen")) / 10.0, 1e-12);
    EXPECT_NEAR(row.at("rejected_reward"), number_of(row.at("rejected")) / 10.0, 1e-12);
    EXPECT_GT(row.at("chosen_reward"), row.at("rejected_reward"));
  }
  auto lessons = load_lessons(world_.at("data.jsonl"), LessonKind::pairs);
  ASSERT_EQ(lessons.size(), rows.size());
  EXPECT_EQ(lessons[0].prompt.at(0).content, "f 0");
}

TEST_F(Collect, PairsOfAPairwiseJudgeAreThoseItDecided) {
  ScriptedServer server([](const SeenRequest& request) {
    std::string text = json::parse(request.body).at("messages").back().at("content");
    if (text.find("\"b\":") == std::string::npos) return teach(request);
    auto first = text.find("x + ") + 4;
    int a = text.at(first) - '0', b = text.at(text.find("x + ", first) + 4) - '0';
    const char* better = a + b == 3 ? "tie" : a > b ? "a" : "b";
    return openai_reply(json{{"reason", "r"}, {"better", better}}.dump());
  });
  auto run = collect(server.url(), "teacher", {"--pairs", "--teacher.mode=pairwise"});
  ASSERT_EQ(run.exit_code, 0) << run.output;
  auto sent = server.count();
  auto rows = rows_of(world_.read("data.jsonl"));
  ASSERT_GT(rows.size(), 40u);  // more than one a group
  for (const auto& row : rows) {
    int better = number_of(row.at("chosen")), worse = number_of(row.at("rejected"));
    EXPECT_GT(better, worse);
    EXPECT_NE(better + worse, 3);
  }
  auto again = collect(server.url(), "teacher", {"--pairs", "--teacher.mode=pairwise"});
  ASSERT_EQ(again.exit_code, 0) << again.output;
  EXPECT_EQ(server.count(), sent);  // the winners were in the cache
}

TEST_F(Collect, SaysWhatIsMissing) {
  auto nobody = world_.run("collect -c config.yaml --out d.jsonl --source teacher");
  EXPECT_TRUE(failed(nobody, 1, "set teacher.provider"));
  auto nothing = world_.run("collect -c config.yaml");
  EXPECT_TRUE(failed(nothing, 2, "--out"));
}

TEST_F(Collect, TheCacheIsCountedExportedAndPruned) {
  ScriptedServer server(teach);
  ASSERT_EQ(collect(server.url(), "teacher").exit_code, 0);
  auto stats = world_.run("cache stats --file cache.sqlite --json");
  ASSERT_EQ(stats.exit_code, 0) << stats.errors;
  auto model = json::parse(stats.output).at("models").at(0);
  auto answers = model.at("answers").get<int64_t>();
  EXPECT_EQ(model.at("model"), "judge-1");
  EXPECT_EQ(answers, static_cast<int64_t>(server.count()));
  EXPECT_EQ(model.at("input_tokens"), 90 * answers);

  auto exported = world_.run("cache export --file cache.sqlite --out all.jsonl");
  ASSERT_EQ(exported.exit_code, 0) << exported.errors;
  auto rows = rows_of(world_.read("all.jsonl"));
  EXPECT_EQ(rows.size(), server.count());
  EXPECT_TRUE(rows.at(0).at("text").is_string());

  auto young = world_.run("cache prune --file cache.sqlite --older-than 1");
  EXPECT_TRUE(has(young.output, "removed 0 answers"));
  auto other =
      world_.run("cache prune --file cache.sqlite --older-than 0 --model judge-2");
  EXPECT_TRUE(has(other.output, "removed 0 answers"));
  auto all = world_.run("cache prune --file cache.sqlite --older-than 0");
  EXPECT_TRUE(has(all.output, "removed " + std::to_string(answers) + " answers"));
  EXPECT_TRUE(failed(
      world_.run("cache stats --file none.sqlite"), 1, "there is no file none.sqlite"));
  EXPECT_FALSE(fs::exists(world_.at("none.sqlite")));
}

}  // namespace
}  // namespace pupil::testing
