// `pupil eval --judge`, with a teacher that prefers the larger program.

#include <gtest/gtest.h>

#include <sstream>

#include "app/tiny_world.h"
#include "reward/judge.h"
#include "support/teacher_world.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// The texts of the two answers of a pairwise question.
std::pair<std::string, std::string> answers_in(const SeenRequest& request) {
  std::string text = json::parse(request.body).at("messages").back().at("content");
  auto begin = text.find("{\"a\":");
  if (begin == text.npos) begin = text.find('{');
  auto end = text.rfind('}');
  auto object = json::parse(text.substr(begin, end - begin + 1));
  return {object.at("a"), object.at("b")};
}

ScriptedReply prefer_the_longer(const SeenRequest& request) {
  auto [a, b] = answers_in(request);
  const char* better = a.size() == b.size() ? "tie" : a.size() > b.size() ? "a" : "b";
  return openai_reply(json{{"reason", "r"}, {"better", better}}.dump());
}

ScriptedReply prefer_the_first(const SeenRequest&) {
  return openai_reply(json{{"reason", "r"}, {"better", "a"}}.dump());
}

// What the adapter wins of a pair, before a judge who prefers the longer answer.
double win_over(const std::string& base, const std::string& adapter) {
  bool no_base = degenerate(base, "python").has_value(),
       no_adapter = degenerate(adapter, "python").has_value();
  if (no_base || no_adapter) return (no_base - no_adapter + 1) / 2.0;
  return base.size() == adapter.size() ? 0.5 : adapter.size() > base.size();
}

class EvalJudge : public ::testing::Test {
 protected:
  void SetUp() override {
    auto trained = world_.run(
        "train -c config.yaml --train.max_steps=4 --train.learning_rate=0.05");
    ASSERT_EQ(trained.exit_code, 0) << trained.errors;
  }
  json judged(const std::string& url, const std::string& more) const {
    auto run = world_.run(
        "eval --model model --adapter run/adapters --tasks tasks.jsonl --samples 8 "
        "--max-tokens 2 --judge --json --teacher.provider=openai --teacher.model=j "
        "--teacher.cache=cache.sqlite --teacher.known_answer_rate=0 "
        "--teacher.base_url=" +
        url + " '--reward.functions=[{name: format}]' " + more);
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    return json::parse(run.output);
  }

  TinyWorld world_;
};

// The rate is that of the pairs in samples.jsonl, counted here.
TEST_F(EvalJudge, TheRateIsThatOfThePairs) {
  ScriptedServer server(prefer_the_longer);
  auto report = judged(server.url(), "--out out");
  const auto& judge = report.at("judge");
  int pairs = 0;
  for (const char* key : {"won", "tied", "lost", "unscored"})
    pairs += judge.at(key).get<int>();
  EXPECT_EQ(pairs, 2 * 8);
  EXPECT_EQ(judge.at("unscored"), 0);
  std::vector<std::string> texts;
  std::istringstream lines(world_.read("out/samples.jsonl"));
  for (std::string line; std::getline(lines, line);)
    texts.push_back(json::parse(line).at("completion"));
  ASSERT_EQ(texts.size(), 32u);
  double sum = 0;
  int won = 0, lost = 0;
  for (size_t i = 0; i < 16; ++i) {
    double win = win_over(texts[i], texts[16 + i]);
    sum += win;
    won += win == 1;
    lost += win == 0;
  }
  EXPECT_GT(won + lost, 0) << "every pair ties: the test shows nothing";
  EXPECT_EQ(judge.at("won"), won);
  EXPECT_EQ(judge.at("lost"), lost);
  EXPECT_NEAR(judge.at("win_rate").at("mean"), sum / 16, 1e-12);
  EXPECT_FALSE(fs::exists(world_.at("out/scratch")));
  auto asked = server.count();
  EXPECT_EQ(judged(server.url(), "--out out"), report);
  EXPECT_EQ(server.count(), asked);
}

TEST_F(EvalJudge, WhenTheOrdersDisagreeItIsATie) {
  ScriptedServer server(prefer_the_first);
  const auto judge = judged(server.url(), "").at("judge");
  EXPECT_GT(server.count(), 2u);
  for (const char* key : {"won", "lost"}) {
    // Only against an answer without code, which needs no judge.
    EXPECT_LT(judge.at(key).get<int>(), 16);
  }
  EXPECT_GT(judge.at("tied"), 0);
}

}  // namespace
}  // namespace pupil::testing
