// A server that is down is waited for; a question that fails alone is not.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

#include "reward/teacher_client.h"
#include "support/teacher_world.h"

namespace pupil::testing {
namespace {

using enum ChatOutcome;

ClientOptions patient(double max_outage_s) {
  ClientOptions options;
  options.max_concurrency = 8;
  options.retry = {.max_retries = 2, .first_s = 0.05, .longest_s = 0.2};
  options.max_outage_s = max_outage_s;
  return options;
}

TeacherClient client_for(const ScriptedServer& server, const ClientOptions& options) {
  TeacherConfig config = teacher_config(server.url());
  config.timeout_s = 2;
  return {chat_endpoint(config, fast_options().environment), options};
}

std::vector<ChatRequest> questions(int count) {
  std::vector<ChatRequest> out(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    out[static_cast<size_t>(i)].messages = {{"user", "question " + std::to_string(i)}};
  }
  return out;
}

bool is_probe(const SeenRequest& request) {
  return request.body.find("ready") != std::string::npos;
}

ScriptedReply echo(const SeenRequest& request) {
  auto body = nlohmann::json::parse(request.body);
  return openai_reply(body["messages"][0]["content"]);
}

enum class Trouble { refused, error_500, busy };

ScriptedReply trouble(Trouble which) {
  if (which == Trouble::error_500) return error_reply(500, "server_error", "kaput");
  if (which == Trouble::busy) return error_reply(429, "rate_limit_error", "slow");
  ScriptedReply reply;
  reply.silent = reply.reset = true;
  return reply;
}

/// A server in trouble for a second from its 21st request on.
struct TroubledServer {
  explicit TroubledServer(Trouble which)
      : server([this, which](const SeenRequest& request) {
          if (request.index == 20) back = seconds() + 1;
          if (request.index >= 20 && seconds() < back) return trouble(which);
          return echo(request);
        }) {}

  std::atomic<double> back = 0;
  ScriptedServer server;
};

void expect_all_answered(TeacherClient& client) {
  auto asked = questions(60);
  auto replies = client.ask(asked);
  for (size_t i = 0; i < asked.size(); ++i) {
    ASSERT_EQ(replies[i].outcome, ok) << replies[i].error;
    EXPECT_EQ(replies[i].text, asked[i].messages[0].content);
  }
}

TEST(TeacherOutage, EverythingIsAnsweredAfterItIsOver) {
  for (auto which : {Trouble::refused, Trouble::error_500}) {
    TroubledServer troubled(which);
    std::vector<std::string> notices;
    auto options = patient(60);
    options.on_notice = [&](const std::string& text) { notices.push_back(text); };
    TeacherClient client = client_for(troubled.server, options);
    expect_all_answered(client);
    EXPECT_EQ(client.stats().outages, 1);
    ASSERT_GE(notices.size(), 2u);
    EXPECT_TRUE(notices.front().starts_with("the teacher is down for 0:0"));
    EXPECT_EQ(notices.back(), "");
    // Each question's retries and once more afterwards; in between, one small question
    // at a time.
    EXPECT_LE(client.stats().retries, 40 * (2 + 1));
    EXPECT_GE(client.stats().probes, 2);
    EXPECT_LE(client.stats().probes, 60);
  }
}

TEST(TeacherOutage, ABusyServerIsAskedMoreSlowly) {
  TroubledServer troubled(Trouble::busy);
  TeacherClient client = client_for(troubled.server, patient(60));
  double began = seconds();
  expect_all_answered(client);
  EXPECT_LT(seconds() - began, 30);
}

TEST(TeacherOutage, EndsEverythingWhenItTakesTooLong) {
  ScriptedServer server([](const SeenRequest&) { return trouble(Trouble::error_500); });
  TeacherClient client = client_for(server, patient(0.8));
  double began = seconds();
  for (const auto& reply : client.ask(questions(30))) {
    EXPECT_EQ(reply.outcome, down);
    EXPECT_NE(reply.error.find("kaput"), std::string::npos);
  }
  EXPECT_GE(seconds() - began, 0.8);
  EXPECT_LT(seconds() - began, 4);
  size_t sent = server.count();
  EXPECT_EQ(client.ask(questions(3)).front().outcome, down);  // final
  EXPECT_EQ(server.count(), sent);
}

TEST(TeacherOutage, AQuestionThatFailsAloneIsNoOutage) {
  ScriptedServer server([](const SeenRequest& request) {
    bool poison = request.body.find("question 3\"") != std::string::npos;
    return poison ? trouble(Trouble::error_500) : echo(request);
  });
  TeacherClient client = client_for(server, patient(60));
  double began = seconds();
  auto replies = client.ask(questions(4));
  EXPECT_EQ(replies[3].outcome, unavailable);
  EXPECT_EQ(replies[2].outcome, ok);
  EXPECT_LT(seconds() - began, 10);
  EXPECT_EQ(client.stats().outages, 0);
  EXPECT_LE(client.stats().probes, 1);
}

TEST(TeacherOutage, TheImpatientAreToldAtOnce) {
  ScriptedServer server([](const SeenRequest&) { return trouble(Trouble::refused); });
  TeacherClient client = client_for(server, patient(60));
  double began = seconds();
  EXPECT_EQ(client.ask(questions(1), {}, false).front().outcome, unavailable);
  EXPECT_LT(seconds() - began, 5);
  EXPECT_EQ(client.stats().probes, 0);
}

TEST(TeacherOutage, AWishToStopEndsTheWaiting) {
  std::atomic<bool> stop = false;
  ScriptedServer server([&](const SeenRequest& request) {
    if (is_probe(request)) stop = true;
    return trouble(Trouble::refused);
  });
  auto options = patient(60);
  options.stop_requested = [&] { return stop.load(); };
  TeacherClient client = client_for(server, options);
  double began = seconds();
  EXPECT_EQ(client.ask(questions(5)).front().outcome, cancelled);
  EXPECT_LT(seconds() - began, 5);
}

TEST(TeacherOutage, AKeyThatWasTakenAwayMeanwhileIsSaid) {
  ScriptedServer server([&](const SeenRequest& request) {
    return is_probe(request) ? error_reply(401, "auth", "no such key")
                             : trouble(Trouble::refused);
  });
  TeacherClient client = client_for(server, patient(60));
  EXPECT_EQ(client.ask(questions(5)).front().outcome, unauthorized);
}

// One in five requests meets trouble of some kind, and nothing is lost.
TEST(TeacherOutage, ARoughNetworkLosesNothing) {
  ScriptedServer server([](const SeenRequest& request) {
    uint64_t draw = (request.index + 1) * 0x9e3779b97f4a7c15;
    if ((draw >> 32) % 5 == 0) return trouble(static_cast<Trouble>((draw >> 20) % 3));
    return echo(request);
  });
  auto options = patient(60);
  options.retry.max_retries = 12;
  TeacherClient client = client_for(server, options);
  auto asked = questions(500);
  auto replies = client.ask(asked);
  int bad = 0;
  for (size_t i = 0; i < asked.size(); ++i) {
    bad += replies[i].outcome != ok || replies[i].text != asked[i].messages[0].content;
  }
  EXPECT_EQ(bad, 0);
  EXPECT_GT(client.stats().retries, 50);
}

TEST(Teacher, ADownTeacherAndOneThatMustNotFailStopTheRun) {
  std::atomic<bool> is_down = true;
  ScriptedServer server([&](const SeenRequest& request) {
    if (is_down) return trouble(Trouble::error_500);
    return is_probe(request) ? openai_reply("ready") : openai_reply("no grades");
  });
  auto config = teacher_config(server.url());
  config.max_outage_s = 0.3;
  Answers answers({program(1)});
  Teacher waiting(config, fast_options());
  EXPECT_THROW(waiting.judge(answers.samples()), TeacherDown);
  EXPECT_THROW(waiting.check(), Stopped);
  Teacher starting(config, fast_options());
  EXPECT_THROW(starting.check(), std::runtime_error);
  is_down = false;
  Teacher lenient(config, fast_options());
  EXPECT_FALSE(lenient.judge(answers.samples())[0].value);
  config.on_failure = "stop";
  Teacher strict(config, fast_options());
  EXPECT_THROW(strict.judge(answers.samples()), TeacherDown);
}

}  // namespace
}  // namespace pupil::testing
