// `pupil eval --judge`, with a teacher that prefers the larger program.

#include <gtest/gtest.h>

#include "app/tiny_world.h"
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
  EXPECT_NE(judge.at("won"), judge.at("lost"));
  double rate =
      (judge.at("won").get<double>() + judge.at("tied").get<double>() / 2) / 16;
  EXPECT_NEAR(judge.at("win_rate").at("mean"), rate, 1e-12);
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
