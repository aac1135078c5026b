// What a program may write to its stdout, and what becomes of it.

#include "reward/program_reply.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace pupil {
namespace {

using Kind = ProgramLine::Kind;

// As the reply to request 7 with two items.
ProgramLine read(const std::string& line) {
  return read_program_line(line, 7, 2);
}

TEST(ProgramReply, ScoresComeInOrder) {
  const auto reply = read(R"({"id":7,"scores":[0.5,null]})");
  ASSERT_EQ(reply.kind, Kind::reply);
  ASSERT_EQ(reply.scores.size(), 2u);
  EXPECT_EQ(reply.scores[0].value, 0.5);
  EXPECT_FALSE(reply.scores[1].value);
  EXPECT_EQ(reply.scores[1].reason, "the program gave no score");
}

TEST(ProgramReply, AnyFiniteNumberIsAScore) {
  const auto reply = read(R"( {"other":{},"scores":[-3, 1e9],"id":7} )");
  ASSERT_EQ(reply.kind, Kind::reply);
  EXPECT_EQ(reply.scores[0].value, -3);
  EXPECT_EQ(reply.scores[1].value, 1e9);
}

TEST(ProgramReply, AnElementThatIsNoScoreIsUnscoredAlone) {
  for (const std::string bad :
       {"\"0.5\"", "true", "[]", "{}", "-1.1e9", "1e300", "18446744073709551615"}) {
    const auto reply = read("{\"id\":7,\"scores\":[1," + bad + "]}");
    ASSERT_EQ(reply.kind, Kind::reply) << bad;
    EXPECT_EQ(reply.scores[0].value, 1);
    EXPECT_FALSE(reply.scores[1].value) << bad;
    EXPECT_TRUE(reply.scores[1].reason.starts_with("the program gave ")) << bad;
  }
}

TEST(ProgramReply, WhatIsNoReplyIsNoise) {
  for (const std::string line :
       {"",
        "  ",
        "Loading model...",
        "[1,2]",
        "7",
        "null",
        "{'id': 7}",
        "{\"id\":7",
        "\xff\xfe{",
        R"({"level":"info","text":"started"})",
        R"({"id":6,"scores":[1,1]})",
        R"({"id":8,"scores":[1,1]})",
        R"({"id":-7,"scores":[1,1]})"}) {
    EXPECT_EQ(read(line).kind, Kind::noise) << line;
  }
}

TEST(ProgramReply, WhatIsMeantAsOneSaysWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> lines = {
      {R"({"id":7,"scores":[NaN,1]})", "its reply is not valid JSON (for NaN"},
      {R"({"id":7,"scores":[1e999,1]})", "its reply is not valid JSON (for NaN"},
      {R"({"id":7,"scores":[1,)", "its reply is not valid JSON"},
      {R"({"id":7,"scores":[1]})", "its reply has 1 scores, expected 2"},
      {R"({"id":7,"scores":[1,2,3]})", "its reply has 3 scores, expected 2"},
      {R"({"id":7,"scores":[]})", "its reply has 0 scores, expected 2"},
      {R"({"id":7,"scores":{"0":1}})", "its reply has `scores` that are no list"},
      {R"({"id":7,"scores":null})", "its reply has `scores` that are no list"},
      {R"({"id":7,"error":"oops"})", "its reply has no `scores`: '{\"id\":7,"},
      {R"({"id":"7","scores":[1,2]})", "its reply has not the request's integer `id`"},
      {R"({"id":7.0,"scores":[1,2]})", "its reply has not the request's integer `id`"},
      {R"({"scores":[1,2]})", "its reply has not the request's integer `id`"},
  };
  for (const auto& [line, says] : lines) {
    const auto read_line = read(line);
    EXPECT_EQ(read_line.kind, Kind::broken) << line;
    EXPECT_TRUE(read_line.trouble.starts_with(says)) << read_line.trouble;
  }
}

TEST(ProgramReply, NestingWithoutEndIsNoTrouble) {
  const std::string deep = "{\"id\":7,\"scores\":" + std::string(1 << 20, '[');
  EXPECT_EQ(read(deep).kind, Kind::broken);
  EXPECT_EQ(read("{\"a\":" + std::string(1 << 20, '[')).kind, Kind::noise);
  // Whole JSON: what it says of the score must not print it.
  const auto whole = read(deep + std::string(1 << 20, ']') + "}");
  EXPECT_TRUE(whole.trouble.starts_with("its reply is nested deeper than 64"));
}

TEST(ProgramReply, NoBytesGiveMoreThanFiniteScores) {
  std::mt19937 random(3);
  const std::string good = R"({"id":7,"scores":[0.25,-1.5e3]})";
  for (int trial = 0; trial < 20000; ++trial) {
    std::string line = good;
    for (int change = 0; change < 1 + trial % 4; ++change) {
      const size_t at = random() % line.size();
      if (random() % 3 == 0)
        line.erase(at, 1 + random() % 5);
      else
        line[at] = static_cast<char>(random());
      if (line.empty()) line = "{";
    }
    const auto reply = read(line);
    if (reply.kind != Kind::reply) continue;
    ASSERT_EQ(reply.scores.size(), 2u) << line;
    for (const auto& score : reply.scores) {
      ASSERT_TRUE(!score.value || std::abs(*score.value) <= kLargestScore) << line;
    }
  }
}

}  // namespace
}  // namespace pupil
