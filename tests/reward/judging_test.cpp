// The modes of judging over the wire.

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "reward/judging_support.h"

namespace pupil::testing {
namespace {

// ---- samples

TEST(Judging, SamplesAreDifferentQuestionsWhoseScoresAreAveraged) {
  std::atomic<int> asked = 0;
  ScriptedServer server(
      [&](const SeenRequest&) { return openai_reply(grades(4 + 3 * (asked++ % 2))); });
  TemporaryFolder folder;
  auto config = teacher_config(server.url(), folder / "cache.sqlite");
  config.samples = 2;
  config.temperature = 0.7;
  Answers answers({program(0)});
  for (int run = 0; run < 2; ++run) {
    Teacher teacher(config, fast_options());
    auto scores = teacher.judge(answers.samples());
    EXPECT_NEAR(scores[0].value.value(), 0.55, 1e-12);
    EXPECT_TRUE(scores[0].reason.starts_with("mean of 2;")) << scores[0].reason;
  }
  EXPECT_EQ(server.count(), 2u);
}

TEST(Judging, MarksAreRandomAndTheCacheDoesNotKnowThem) {
  std::set<std::string> marks;
  ScriptedServer server([](const SeenRequest&) { return openai_reply(grades(4)); });
  Answers answers({program(0)});
  for (int run = 0; run < 3; ++run) {
    Teacher teacher(teacher_config(server.url()), fast_options());
    teacher.judge(answers.samples());
    auto text = user_text(server.seen().back());
    marks.insert(text.substr(12, 32));
  }
  EXPECT_EQ(marks.size(), 3u);
  TemporaryFolder folder;
  for (int run = 0; run < 2; ++run) {
    Teacher teacher(
        teacher_config(server.url(), folder / "cache.sqlite"), fast_options());
    teacher.judge(answers.samples());
  }
  EXPECT_EQ(server.count(), 4u);
}

// ---- group

// Grades by the number in the program, names in any order.
ScriptedReply graded_group(const SeenRequest& request) {
  json list = json::array();
  for (const auto& item : submissions_of(request)) {
    json entry = json::parse(grades(number_in(unmarked(item["submission"]))));
    entry["answer"] = item["answer"];
    list.insert(list.begin(), entry);
  }
  return openai_reply(json{{"answers", list}}.dump());
}

TEST(Judging, AGroupIsOneRequestAndEveryScoreSitsWithItsSample) {
  ScriptedServer server(graded_group);
  auto config = teacher_config(server.url());
  config.mode = "group";
  Teacher teacher(config, fast_options());
  std::vector<int> numbers = {7, 2, 7, 9, 0, 2};
  Answers answers(programs(numbers)), others(programs({1, 3}));
  others.task.prompt = "another";
  answers.completions.emplace_back();  // empty: worth 0, not shown
  auto samples = answers.samples();
  for (const auto& sample : others.samples()) samples.push_back(sample);
  auto scores = values(teacher.judge(samples));
  std::vector<std::optional<double>> expected = {
      0.7, 0.2, 0.7, 0.9, 0.0, 0.2, 0.0, 0.1, 0.3};
  EXPECT_EQ(scores, expected);
  ASSERT_EQ(server.count(), 2u);
  std::multiset<size_t> shown;
  for (const auto& seen : server.seen())
    shown.insert(data_of(seen)["submissions"].size());
  EXPECT_EQ(shown, (std::multiset<size_t>{2, 4}));
}

TEST(Judging, AGroupIsTheSameQuestionInWhateverOrderItComes) {
  ScriptedServer server(graded_group);
  TemporaryFolder folder;
  auto config = teacher_config(server.url(), folder / "cache.sqlite");
  config.mode = "group";
  std::vector<int> numbers = {7, 2, 9, 0};
  std::set<std::string> orders;
  for (int turn = 0; turn < 4; ++turn) {
    std::rotate(numbers.begin(), numbers.begin() + 1, numbers.end());
    Answers answers(programs(numbers));
    Teacher teacher(config, fast_options());
    auto scores = values(teacher.judge(answers.samples()));
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(scores[i], numbers[i] / 10.0);
  }
  EXPECT_EQ(server.count(), 1u);
  // Another sample of the same question comes in another order.
  config.samples = 6;
  Teacher teacher(config, fast_options());
  Answers answers(programs(numbers));
  auto scores = values(teacher.judge(answers.samples()));
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(*scores[i], numbers[i] / 10.0, 1e-12);
  EXPECT_EQ(server.count(), 6u);
  for (const auto& seen : server.seen()) {
    std::string order;
    for (const auto& item : submissions_of(seen))
      order += std::to_string(number_in(unmarked(item["submission"])));
    orders.insert(order);
  }
  EXPECT_GT(orders.size(), 2u);
}

TEST(Judging, AGroupWithAWrongCountIsAskedOnceMoreAndThenUnscored) {
  ScriptedServer server([](const SeenRequest& request) {
    auto reply = graded_group(request);
    auto body = json::parse(reply.body);
    auto content =
        json::parse(body["choices"][0]["message"]["content"].get<std::string>());
    content["answers"].erase(0);
    return openai_reply(content.dump());
  });
  auto config = teacher_config(server.url());
  config.mode = "group";
  Teacher teacher(config, fast_options());
  Answers answers(programs({1, 2, 3}));
  for (const auto& score : teacher.judge(answers.samples())) {
    EXPECT_FALSE(score.value);
    EXPECT_NE(score.reason.find("graded 2 answers of 3"), std::string::npos);
  }
  EXPECT_EQ(server.count(), 2u);
  auto metrics = teacher.take_metrics();
  EXPECT_EQ(metric(metrics, "unscored/malformed"), 3);
  EXPECT_EQ(metric(metrics, "coverage"), 0);
  EXPECT_EQ(metric(metrics, "reasks"), 1);
}

// ---- pairwise

using Better = std::function<std::string(int a, int b)>;

ScriptedServer::Handler comparing(Better better) {
  return [=](const SeenRequest& request) {
    auto data = data_of(request);
    int a = number_in(unmarked(data["a"])), b = number_in(unmarked(data["b"]));
    return openai_reply(json{{"reason", "r"}, {"better", better(a, b)}}.dump());
  };
}

std::string larger(int a, int b) {
  return a > b ? "a" : a < b ? "b" : "tie";
}

TEST(Judging, WinsAreSharedOutAmongTheGroup) {
  ScriptedServer server(comparing(larger));
  auto config = teacher_config(server.url());
  config.mode = "pairwise";
  Teacher teacher(config, fast_options());
  Answers answers(programs({5, 1, 9, 5}));
  answers.completions.emplace_back();  // loses against all
  auto scores = values(teacher.judge(answers.samples()));
  // 5: beats 1 and the empty one, ties with the other 5, loses to 9.
  std::vector<std::optional<double>> expected = {2.5 / 4, 0.25, 1.0, 2.5 / 4, 0.0};
  EXPECT_EQ(scores, expected);
  EXPECT_EQ(server.count(), 6u);  // three pairs of different answers, both orders
  auto pairs = teacher.compare(answers.samples());
  EXPECT_EQ(server.count(), 6u);  // known
  ASSERT_EQ(pairs.size(), 3u);
  int numbers[] = {5, 1, 9, 5};
  for (const auto& pair : pairs) {
    EXPECT_EQ(*pair.score, numbers[pair.first] > numbers[pair.second] ? 1.0 : 0.0);
  }
}

TEST(Judging, AJudgeThatLooksAtThePlaceTiesEverything) {
  ScriptedServer server(comparing([](int, int) { return "a"; }));
  auto config = teacher_config(server.url());
  config.mode = "pairwise";
  Teacher teacher(config, fast_options());
  Answers answers(programs({5, 1, 9}));
  for (const auto& score : teacher.judge(answers.samples())) {
    EXPECT_EQ(score.value, 0.5);
    EXPECT_EQ(score.reason, "won 1 of 2, ties half");
  }
}

TEST(Judging, PairsAreBoundedAndAnAnswerAloneHasNoScore) {
  ScriptedServer server(comparing(larger));
  auto config = teacher_config(server.url());
  config.mode = "pairwise";
  config.max_pairs = 3;
  Teacher teacher(config, fast_options());
  Answers many(programs({0, 1, 2, 3, 4, 5}));
  for (const auto& score : teacher.judge(many.samples())) EXPECT_TRUE(score.value);
  EXPECT_EQ(server.count(), 6u);
  Answers alone(programs({4}));
  auto score = teacher.judge(alone.samples())[0];
  EXPECT_FALSE(score.value);
  EXPECT_EQ(score.reason, "no other answer to compare it with");
  EXPECT_EQ(server.count(), 6u);
}

TEST(Judging, AComparisonThatFailsTakesNoPart) {
  ScriptedServer server([](const SeenRequest& request) {
    auto text = request.body;
    if (text.find("x * 2 + 9") != std::string::npos)
      return error_reply(400, "bad", "not this one");
    return comparing(larger)(request);
  });
  auto config = teacher_config(server.url());
  config.mode = "pairwise";
  Teacher teacher(config, fast_options());
  Answers answers(programs({5, 1, 9}));
  auto scores = teacher.judge(answers.samples());
  EXPECT_EQ(scores[0].value, 1.0);
  EXPECT_EQ(scores[1].value, 0.0);
  EXPECT_FALSE(scores[2].value);
  EXPECT_NE(scores[2].reason.find("not this one"), std::string::npos);
}

}  // namespace
}  // namespace pupil::testing
