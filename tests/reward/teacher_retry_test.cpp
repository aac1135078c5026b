#include "reward/teacher_retry.h"

#include <gtest/gtest.h>

#include <ctime>

namespace pupil {
namespace {

HttpReply with_header(const char* name, const std::string& value) {
  HttpReply reply;
  reply.headers[name] = value;
  return reply;
}

TEST(TeacherRetry, DelaysFollowTheFormula) {
  RetryPolicy policy{.max_retries = 6};
  const double expected[] = {0.5, 1, 2, 4, 8, 8};
  for (int n = 0; n < 6; ++n) {
    EXPECT_EQ(retry_delay_s(policy, n, 0.0, {}), expected[n]);
    EXPECT_EQ(retry_delay_s(policy, n, 0.5, {}), expected[n] * 0.875);
  }
  EXPECT_FALSE(retry_delay_s(policy, 6, 0.0, {}));
}

TEST(TeacherRetry, NeverWaitsLessThanTheServerAsksAndNotForEver) {
  RetryPolicy policy;
  EXPECT_EQ(retry_delay_s(policy, 0, 0.9, 3.0), 3.0);
  EXPECT_EQ(retry_delay_s(policy, 3, 0.0, 0.1), 4.0);
  EXPECT_EQ(retry_delay_s(policy, 0, 0.0, 120.0), 120.0);
  EXPECT_FALSE(retry_delay_s(policy, 0, 0.0, 121.0));
}

TEST(TeacherRetry, ReadsTheServersWait) {
  EXPECT_EQ(server_wait_s(with_header("retry-after", "7")), 7.0);
  EXPECT_EQ(server_wait_s(with_header("retry-after", "0.5")), 0.5);
  EXPECT_EQ(server_wait_s(with_header("retry-after-ms", "250")), 0.25);
  HttpReply both = with_header("retry-after", "9");
  both.headers["retry-after-ms"] = "1500";
  EXPECT_EQ(server_wait_s(both), 1.5);
  for (const char* nonsense : {"", "soon", "-1", "nan", "inf", "1e999", "5s"}) {
    EXPECT_FALSE(server_wait_s(with_header("retry-after", nonsense))) << nonsense;
  }
  std::time_t soon = std::time(nullptr) + 30;
  char date[64];
  std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", std::gmtime(&soon));
  EXPECT_NEAR(server_wait_s(with_header("retry-after", date)).value(), 30, 3);
  auto past = with_header("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT");
  EXPECT_EQ(server_wait_s(past), 0.0);
}

TEST(TeacherRetry, ConcurrencyFallsOnceForEachBurstAndGrowsBack) {
  ConcurrencyLimit limit(16);
  EXPECT_EQ(limit.allowed(), 16);
  for (int i = 0; i < 10; ++i)
    limit.on_busy(5.0, 4.0);  // all sent before the first fall
  EXPECT_EQ(limit.allowed(), 8);
  limit.on_busy(6.0, 5.5);
  EXPECT_EQ(limit.allowed(), 4);
  for (double t = 7; t < 20; ++t) limit.on_busy(t, t - 0.5);
  EXPECT_EQ(limit.allowed(), 1);
  for (int i = 0; i < 500; ++i) limit.on_answer();
  EXPECT_EQ(limit.allowed(), 16);
}

}  // namespace
}  // namespace pupil
