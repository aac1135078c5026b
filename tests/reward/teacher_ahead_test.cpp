// Judging that begins while the student still writes.

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <thread>

#include "reward/teacher.h"
#include "support/teacher_world.h"

namespace pupil::testing {
namespace {

ScriptedServer::Handler graded_after(double delay_s) {
  return [delay_s](const SeenRequest&) {
    ScriptedReply reply = openai_reply(grades(7));
    reply.delay_s = delay_s;
    return reply;
  };
}

void wait_for(const ScriptedServer& server, size_t requests) {
  for (int i = 0; i < 1000 && server.count() < requests; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

/// Begins with each answer as if it had just been written, the last in `texts` last.
void begin_all(Teacher& teacher, const std::vector<std::string>& texts) {
  for (size_t count = 1; count <= texts.size(); ++count) {
    Answers some(std::vector<std::string>(texts.begin(), texts.begin() + count));
    teacher.begin_judging(some.samples(), count == texts.size());
  }  // the answers are gone before their scores are there
}

TEST(TeacherAhead, WhatWasBegunIsAskedOnceAndCountsOnce) {
  ScriptedServer server(graded_after(0.2));
  Teacher teacher(teacher_config(server.url()), fast_options());
  auto texts = numbered_programs(12);
  texts.push_back(texts[0]);
  texts.emplace_back("# nothing");  // worth 0 without a question
  begin_all(teacher, texts);
  wait_for(server, 12);  // in flight, or already answered
  Answers answers(texts);
  auto scores = teacher.judge(answers.samples());
  for (size_t i = 0; i < 13; ++i) EXPECT_EQ(scores[i].value, 0.7) << scores[i].reason;
  EXPECT_EQ(scores[13].value, 0.0);
  EXPECT_EQ(server.count(), 12u);
  auto stats = teacher.stats();
  EXPECT_EQ(stats.questions, 13);
  EXPECT_EQ(stats.cache_hits + stats.joined, 1);  // the doubled answer
  auto metrics = teacher.take_metrics();
  EXPECT_EQ(std::map(metrics.begin(), metrics.end()).at("teacher/coverage"), 1.0);
}

TEST(TeacherAhead, TheWaitIsHidden) {
  ScriptedServer server(graded_after(0.6));
  Teacher teacher(teacher_config(server.url()), fast_options());
  auto texts = numbered_programs(6);
  begin_all(teacher, texts);
  std::this_thread::sleep_for(std::chrono::milliseconds(900));  // the student writes on
  Answers answers(texts);
  double began = seconds();
  teacher.judge(answers.samples());
  EXPECT_LT(seconds() - began, 0.4);  // without it 0.6
  EXPECT_EQ(server.count(), 6u);
}

TEST(TeacherAhead, TroubleIsSeenByWhoAsksForTheScore) {
  ScriptedServer server(
      [](const SeenRequest&) { return error_reply(401, "auth", "no such key"); });
  Teacher teacher(teacher_config(server.url()), fast_options());
  begin_all(teacher, {program(0)});
  wait_for(server, 1);
  Answers answers({program(0)});
  EXPECT_THROW(teacher.judge(answers.samples()), TeacherRefused);
}

TEST(TeacherAhead, NobodyWaitsForItAtTheEnd) {
  ScriptedServer server(graded_after(2));
  double began = 0;
  {
    Teacher teacher(teacher_config(server.url()), fast_options());
    begin_all(teacher, numbered_programs(5));
    wait_for(server, 5);
    began = seconds();
  }
  EXPECT_LT(seconds() - began, 1);
}

/// A judge of whole groups: the same grade for everybody, or a tie.
ScriptedServer::Handler group_judge(const std::string& mode, size_t answers, double s) {
  nlohmann::json reply = {{"reason", "because"}, {"better", "tie"}};
  if (mode == "group") {
    reply = {{"answers", nlohmann::json::array()}};
    for (size_t i = 1; i <= answers; ++i) {
      auto of_answer = nlohmann::json::parse(grades(7));
      of_answer["answer"] = i;
      reply["answers"].push_back(of_answer);
    }
  }
  return [reply, s](const SeenRequest&) {
    auto out = openai_reply(reply.dump());
    out.delay_s = s;
    return out;
  };
}

TEST(TeacherAhead, AGroupIsAskedAboutWhenItsLastAnswerEnds) {
  for (auto [mode, requests] : {std::pair("group", 1u), std::pair("pairwise", 6u)}) {
    SCOPED_TRACE(mode);
    ScriptedServer server(group_judge(mode, 3, 0.6));
    TeacherConfig config = teacher_config(server.url());
    config.mode = mode;
    Teacher teacher(config, fast_options());
    auto texts = numbered_programs(3);
    Answers two({texts[2], texts[0]}), three({texts[2], texts[0], texts[1]});
    teacher.begin_judging(two.samples(), false);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_EQ(server.count(), 0u);
    teacher.begin_judging(three.samples(), true);
    std::this_thread::sleep_for(std::chrono::milliseconds(900));  // other groups go on
    Answers answers(texts);                                       // in their own order
    double began = seconds();
    auto scores = teacher.judge(answers.samples());
    EXPECT_LT(seconds() - began, 0.4);  // without it 0.6
    for (const auto& [value, reason] : scores)
      EXPECT_EQ(value, config.mode == "group" ? 0.7 : 0.5) << reason;
    EXPECT_EQ(server.count(), requests);
    EXPECT_EQ(teacher.stats().questions, requests);
    EXPECT_EQ(teacher.stats().joined + teacher.stats().cache_hits, 0);
  }
}

TEST(TeacherAhead, ProbesAreAskedToo) {
  ScriptedServer server(graded_after(0.1));
  TeacherConfig config = teacher_config(server.url());
  config.known_answer_rate = 1;
  Teacher teacher(config, fast_options());
  auto texts = numbered_programs(2);
  begin_all(teacher, texts);
  wait_for(server, 3);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  size_t begun = server.count();
  Answers answers(texts);
  teacher.judge(answers.samples());
  EXPECT_GT(begun, 2u);  // the answers', and a known-bad program's
  EXPECT_EQ(server.count(), begun);
}

}  // namespace
}  // namespace pupil::testing
