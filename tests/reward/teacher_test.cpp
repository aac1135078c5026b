// The teacher as a whole: scores stay with their samples, nothing is paid twice,
// trouble is unscored, the key goes nowhere but to the server.

#include "reward/teacher.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <fstream>
#include <sstream>

#include "support/teacher_world.h"

namespace pupil::testing {
namespace {

std::string user_text(const SeenRequest& request) {
  auto messages = nlohmann::json::parse(request.body)["messages"];
  return messages.back()["content"];
}

// The number in `program(number)`, read back from a request.
int number_in(const std::string& text) {
  return std::stoi(text.substr(text.find("x * 2 + ") + 8));
}

TEST(Teacher, ScoresStayWithTheirSamplesAndASecondRunAsksNothing) {
  TemporaryFolder folder;
  ScriptedServer server([](const SeenRequest& request) {
    int number = number_in(user_text(request));
    ScriptedReply reply = openai_reply(grades(number % 11));
    if (request.index % 10 == 3) reply = error_reply(500, "server_error", "oops");
    if (request.index % 10 == 7) reply = error_reply(429, "rate_limit_error", "slow");
    reply.delay_s = 0.001 * static_cast<double>(request.index * 7919 % 23);
    return reply;
  });
  auto config = teacher_config(server.url(), folder / "cache.sqlite");
  Answers answers(numbered_programs(200));
  auto options = fast_options();
  options.retry->max_retries = 12;
  auto check = [&](Teacher& teacher) {
    auto scores = teacher.judge(answers.samples());
    ASSERT_EQ(scores.size(), 200u);
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(scores[i].value) << scores[i].reason;
      EXPECT_EQ(*scores[i].value, (i % 11) / 10.0) << i;
    }
  };
  Teacher first(config, options);
  check(first);
  EXPECT_EQ(first.stats().calls - first.stats().retries, 200);
  EXPECT_GT(first.stats().retries, 10);
  size_t sent = server.count();
  Teacher second(config, options);
  check(second);
  EXPECT_EQ(server.count(), sent);
  EXPECT_EQ(second.stats().calls, 0);
  EXPECT_EQ(second.stats().cache_hits, 200);
}

TEST(Teacher, FailuresAreUnscoredWithTheirReasonAndAreNotStored) {
  std::atomic<bool> broken = true;
  ScriptedServer server([&](const SeenRequest& request) {
    int number = number_in(user_text(request));
    if (!broken || number == 0) return openai_reply(grades(5));
    if (number == 1) return error_reply(500, "server_error", "kaput");
    if (number == 2) return openai_reply("I cannot.", "content_filter");
    if (number == 3) return openai_reply("8/10, nice work");
    if (number == 4) return openai_reply("{\"reason\":", "length");
    return openai_reply(grades(11));
  });
  Teacher teacher(teacher_config(server.url()), fast_options());
  Answers answers(numbered_programs(6));
  auto scores = teacher.judge(answers.samples());
  EXPECT_EQ(scores[0].value, 0.5);
  const char* reasons[] = {"", "kaput", "refused", "JSON", "max_tokens", "0 to 10"};
  for (size_t i = 1; i < 6; ++i) {
    EXPECT_FALSE(scores[i].value) << i;
    EXPECT_NE(scores[i].reason.find(reasons[i]), std::string::npos) << scores[i].reason;
  }
  EXPECT_EQ(teacher.stats().failed, 5);
  EXPECT_EQ(teacher.stats().reasks, 4);  // one each for all but the 500
  EXPECT_EQ(server.count(), 1u + 4 + 4 * 2);
  broken = false;
  for (const auto& score : teacher.judge(answers.samples()))
    EXPECT_EQ(score.value, 0.5);
  EXPECT_EQ(teacher.stats().cache_hits, 1);
}

TEST(Teacher, OneFreshQuestionMendsNonsense) {
  ScriptedServer server([](const SeenRequest& request) {
    return openai_reply(request.index == 0 ? "well..." : grades(10));
  });
  Teacher teacher(teacher_config(server.url()), fast_options());
  Answers answers({program(0)});
  EXPECT_EQ(teacher.judge(answers.samples())[0].value, 1.0);
  EXPECT_EQ(server.count(), 2u);
}

TEST(Teacher, DegenerateAnswersAreZeroWithoutACall) {
  ScriptedServer server([](const SeenRequest&) { return openai_reply(grades(10)); });
  Teacher teacher(teacher_config(server.url()), fast_options());
  Answers answers({"", "  \n", "# only a comment", "Solution", "```python\n```"});
  for (const auto& score : teacher.judge(answers.samples()))
    EXPECT_EQ(score.value, 0.0);
  EXPECT_EQ(server.count(), 0u);
  EXPECT_EQ(teacher.stats().local_zeros, 5);
}

TEST(Teacher, IdenticalQuestionsAreSentOnce) {
  ScriptedServer server([](const SeenRequest&) {
    ScriptedReply reply = openai_reply(grades(7));
    reply.delay_s = 0.05;
    return reply;
  });
  auto teacher =
      std::make_shared<Teacher>(teacher_config(server.url()), fast_options());
  RewardFn reward = teacher_reward(teacher);
  Answers answers(std::vector<std::string>(20, program(1)));
  auto judge = [&] {
    for (const auto& score : reward(answers.samples())) EXPECT_EQ(score.value, 0.7);
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(judge);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(server.count(), 1u);
}

TEST(Teacher, AWrongKeyAndAnEmptyPurseStopTheRun) {
  Answers answers(numbered_programs(3));
  ScriptedServer refusing(
      [](const SeenRequest&) { return error_reply(401, "auth", "Incorrect API key"); });
  Teacher refused(teacher_config(refusing.url()), fast_options());
  try {
    refused.judge(answers.samples());
    FAIL();
  } catch (const TeacherRefused& error) {
    EXPECT_NE(std::string(error.what()).find("OPENAI_API_KEY"), std::string::npos);
  }
  ScriptedServer poor(
      [](const SeenRequest&) { return error_reply(429, "insufficient_quota", "pay"); });
  Teacher broke(teacher_config(poor.url()), fast_options());
  EXPECT_THROW(broke.judge(answers.samples()), TeacherOutOfQuota);
  EXPECT_THROW(broke.judge(answers.samples()), Stopped);
}

TEST(Teacher, TheCheckAtTheStartTellsWhatIsWrong) {
  std::string answer = grades(9);
  ScriptedServer server([&](const SeenRequest&) { return openai_reply(answer); });
  Teacher good(teacher_config(server.url()), fast_options());
  good.check();
  answer = "hello";
  Teacher useless(teacher_config(server.url()), fast_options());
  EXPECT_THROW(useless.check(), std::runtime_error);
}

TEST(Teacher, WritesAnswersOnceForEachSample) {
  TemporaryFolder folder;
  ScriptedServer server([](const SeenRequest& request) {
    auto text = user_text(request) + " #" + std::to_string(request.index);
    return openai_reply(text, request.index == 1 ? "length" : "stop");
  });
  auto config = teacher_config(server.url(), folder / "cache.sqlite");
  std::vector<std::vector<Message>> prompts = {
      {{"system", "be brief"}, {"user", "one"}}, {{"user", "two"}}};
  Teacher teacher(config, fast_options());
  auto first = teacher.write_answers(prompts, 3, 0.8, 64);
  ASSERT_EQ(first.size(), 2u);
  int cut = 0;
  for (size_t p = 0; p < 2; ++p) {
    ASSERT_EQ(first[p].size(), 3u);
    for (const auto& answer : first[p]) {
      EXPECT_TRUE(answer.text->starts_with(prompts[p].back().content + " #"));
      cut += answer.finish == FinishReason::length;
    }
  }
  EXPECT_EQ(cut, 1);
  auto body = nlohmann::json::parse(server.seen()[0].body);
  EXPECT_EQ(body["temperature"], 0.8);
  EXPECT_EQ(body["max_tokens"], 64);
  EXPECT_FALSE(body.contains("response_format"));
  Teacher again(config, fast_options());
  auto second = again.write_answers(prompts, 3, 0.8, 64);
  EXPECT_EQ(server.count(), 6u);
  for (size_t p = 0; p < 2; ++p) {
    for (size_t k = 0; k < 3; ++k) EXPECT_EQ(first[p][k].text, second[p][k].text);
  }
  again.write_answers(prompts, 4, 0.8, 64);
  EXPECT_EQ(server.count(), 8u);  // only the fourth of each is new
}

TEST(Teacher, AnAnswerThatFailedOrIsEmptyIsMissingAndAskedForAgainLater) {
  TemporaryFolder folder;
  std::atomic<bool> broken = true;
  ScriptedServer server([&](const SeenRequest& request) {
    auto prompt = user_text(request);
    if (broken && prompt == "one") return error_reply(400, "bad", "not that one");
    if (broken && prompt == "two") return openai_reply(" \n");
    if (broken && prompt == "three") return openai_reply("", "length");
    return openai_reply("def f(): pass");
  });
  Teacher teacher(
      teacher_config(server.url(), folder / "cache.sqlite"), fast_options());
  std::vector<std::vector<Message>> prompts = {
      {{"user", "one"}}, {{"user", "two"}}, {{"user", "three"}}, {{"user", "four"}}};
  auto answers = teacher.write_answers(prompts, 1, 1.0, 64);
  const char* reasons[] = {"not that one", "empty", "empty"};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_FALSE(answers[i][0].text) << i;
    EXPECT_NE(answers[i][0].reason.find(reasons[i]), std::string::npos)
        << answers[i][0].reason;
  }
  EXPECT_EQ(answers[3][0].text, "def f(): pass");
  EXPECT_EQ(answers[3][0].reason, "");
  EXPECT_EQ(server.count(), 1u + 2 + 2 + 1);
  broken = false;
  for (const auto& row : teacher.write_answers(prompts, 1, 1.0, 64)) {
    EXPECT_EQ(row[0].text, "def f(): pass");
  }
  EXPECT_EQ(teacher.stats().cache_hits, 1);
}

std::string whole_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

TEST(Teacher, TheKeyIsInNoErrorAnswerLogOrFile) {
  TemporaryFolder folder;
  std::ostringstream log;
  auto before = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
  const std::string key = kCanaryKey;
  ScriptedServer server([&](const SeenRequest& request) {
    int number = number_in(user_text(request));
    if (number == 0) return openai_reply(grades(4, "your key is " + key));
    if (number == 1) return error_reply(400, "bad", "you sent " + key);
    ScriptedReply html;
    html.status = 500;
    html.body = "<p>" + std::string(290, 'x') + key + "</p>";  // across the cut
    return html;
  });
  std::string seen;
  {
    Teacher teacher(
        teacher_config(server.url(), folder / "cache.sqlite"), fast_options());
    Answers answers(numbered_programs(3));
    for (const auto& score : teacher.judge(answers.samples()))
      seen += score.reason + "\n";
    for (const char* end : {"", "-wal", "-shm"}) {
      seen += whole_file(folder / ("cache.sqlite" + std::string(end)));
    }
  }
  seen += whole_file(folder / "cache.sqlite") + log.str();
  spdlog::set_default_logger(before);
  EXPECT_EQ(server.seen()[0].headers.at("authorization"), "Bearer " + key);
  EXPECT_NE(seen.find("your key is [key]"), std::string::npos);
  EXPECT_EQ(seen.find("canary"), std::string::npos);
}

}  // namespace
}  // namespace pupil::testing
