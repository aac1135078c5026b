// The user's limits and the server's own, on a clock of the test's.

#include "reward/teacher_rate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace pupil {
namespace {

HttpReply with(std::initializer_list<std::pair<const char*, const char*>> headers) {
  HttpReply reply;
  for (const auto& [name, value] : headers) reply.headers[name] = value;
  return reply;
}

TEST(TeacherRate, ReadsOpenAisHeaders) {
  auto budget = read_server_budget(
      with(
          {{"x-ratelimit-remaining-requests", "59"},
           {"x-ratelimit-reset-requests", "1s"},
           {"x-ratelimit-remaining-tokens", "149984"},
           {"x-ratelimit-reset-tokens", "1m6.5s"}}),
      0);
  EXPECT_EQ(budget.requests, 59);
  EXPECT_EQ(budget.requests_reset_s, 1);
  EXPECT_EQ(budget.tokens, 149984);
  EXPECT_EQ(budget.tokens_reset_s, 66.5);
}

TEST(TeacherRate, ReadsAnthropicsHeadersAndTakesTheTightestTokens) {
  auto budget = read_server_budget(
      with(
          {{"anthropic-ratelimit-requests-remaining", "3"},
           {"anthropic-ratelimit-requests-reset", "1970-01-01T00:01:40Z"},
           {"anthropic-ratelimit-tokens-remaining", "900"},
           {"anthropic-ratelimit-tokens-reset", "1970-01-01T00:02:00Z"},
           {"anthropic-ratelimit-output-tokens-remaining", "70"},
           {"anthropic-ratelimit-output-tokens-reset", "1970-01-01T01:01:50.5+01:00"}}),
      90);
  EXPECT_EQ(budget.requests, 3);
  EXPECT_EQ(budget.requests_reset_s, 10);
  EXPECT_EQ(budget.tokens, 70);
  EXPECT_EQ(budget.tokens_reset_s, 20);
}

TEST(TeacherRate, IgnoresWhatMakesNoSense) {
  const char* resets[] = {"", "0", "soon", "-1s", "1x", "nan", "1s2"};
  for (const char* reset : resets) {
    auto budget = read_server_budget(
        with(
            {{"x-ratelimit-remaining-requests", "0"},
             {"x-ratelimit-reset-requests", reset},
             {"anthropic-ratelimit-tokens-remaining", "0"},
             {"anthropic-ratelimit-tokens-reset", reset}}),
        0);
    bool sane = std::string(reset) == "1s2";  // "2" is seconds, as in "1s" and "2"
    EXPECT_EQ(budget.requests.has_value(), sane) << reset;
    EXPECT_FALSE(budget.tokens) << reset;
  }
  for (const char* remaining : {"-1", "", "many", "1.5", "99999999999999999999"}) {
    auto budget = read_server_budget(
        with(
            {{"x-ratelimit-remaining-requests", remaining},
             {"x-ratelimit-reset-requests", "1s"}}),
        0);
    EXPECT_FALSE(budget.requests) << remaining;
  }
}

struct Sent {
  double at_s;
  int64_t tokens;
};

// Sends `count` requests as fast as the pacer lets them go; each is settled a little
// later with fewer tokens than were reserved.
std::vector<Sent> send_all(const RateLimits& limits, int count) {
  RatePacer pacer(limits);
  std::mt19937 random(7);
  std::vector<Sent> sent;
  double now = 0;
  for (int i = 0; i < count; ++i) {
    auto tokens = static_cast<int64_t>(400 + random() % 800);
    while (pacer.ready_s(now, 2 * tokens) > now) now = pacer.ready_s(now, 2 * tokens);
    pacer.on_sent(static_cast<uint64_t>(i), now, 2 * tokens);
    pacer.on_settled(static_cast<uint64_t>(i), tokens);
    sent.push_back({now, tokens});
    now += 1e-4 * static_cast<double>(random() % 10);
  }
  return sent;
}

// Windows of 60 seconds that hold more than is allowed.
int violations(const std::vector<Sent>& sent, const RateLimits& limits) {
  int count = 0;
  size_t first = 0;
  int64_t tokens = 0;
  for (size_t last = 0; last < sent.size(); ++last) {
    tokens += sent[last].tokens;
    while (sent[first].at_s <= sent[last].at_s - limits.window_s) {
      tokens -= sent[first++].tokens;
    }
    auto requests = static_cast<int64_t>(last - first + 1);
    count += limits.requests > 0 && requests > limits.requests;
    count += limits.tokens > 0 && tokens > limits.tokens;
  }
  return count;
}

TEST(TeacherRate, NeverPassesTheLimitsAndUsesThem) {
  for (RateLimits limits :
       {RateLimits{.requests = 500},
        RateLimits{.tokens = 400000},
        RateLimits{.requests = 600, .tokens = 450000}}) {
    auto sent = send_all(limits, 10000);
    EXPECT_EQ(violations(sent, limits), 0);
    double minutes = std::floor(sent.back().at_s / 60);
    ASSERT_GT(minutes, 5);
    int64_t requests = 0, tokens = 0;
    for (const auto& one : sent) {
      if (one.at_s >= minutes * 60) break;
      ++requests;
      tokens += one.tokens;
    }
    double used = 0;
    if (limits.requests > 0) {
      used = static_cast<double>(requests) / static_cast<double>(limits.requests);
    }
    if (limits.tokens > 0) {
      double share = static_cast<double>(tokens) / static_cast<double>(limits.tokens);
      used = std::max(used, share);
    }
    RecordProperty("used_percent", static_cast<int>(100 * used / minutes));
    EXPECT_GE(used / minutes, 0.95);
  }
}

TEST(TeacherRate, StopsAtWhatTheServerHasLeftUntilItIsFreshAgain) {
  RatePacer pacer({});
  pacer.on_sent(0, 100, 50);
  pacer.on_settled(0, 50);
  pacer.on_sent(1, 100, 50);  // in flight: the server may not have counted it
  pacer.on_budget(101, {.requests = 3, .requests_reset_s = 20});
  for (uint64_t id : {2, 3}) {
    EXPECT_EQ(pacer.ready_s(101, 50), 101);
    pacer.on_sent(id, 101, 50);
  }
  EXPECT_EQ(pacer.ready_s(101, 50), 121);
  EXPECT_EQ(pacer.ready_s(121, 50), 121);
  pacer.on_budget(130, {.tokens = 400, .tokens_reset_s = 5});
  EXPECT_EQ(pacer.ready_s(130, 251), 135);  // 150 of them are in flight
  EXPECT_EQ(pacer.ready_s(130, 250), 130);
}

TEST(TeacherRate, SlowsDownWhenToldToAndRecovers) {
  RatePacer pacer({});
  for (uint64_t id = 0; id < 100; ++id) {
    pacer.on_sent(id, 0.1 * static_cast<double>(id), 1);
  }
  EXPECT_EQ(pacer.ready_s(9.95, 1), 9.95);
  pacer.on_slow_down(9.95);
  EXPECT_NEAR(pacer.ready_s(9.95, 1), 9.9 + 0.2, 1e-9);  // half of ten a second
  for (int i = 0; i < 400; ++i) pacer.on_answer();
  EXPECT_EQ(pacer.ready_s(10.5, 1), 10.5);
}

}  // namespace
}  // namespace pupil
