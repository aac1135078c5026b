// When to ask a chat API again, and how many requests to keep in flight: pure functions
// of replies, clocks passed in.

#pragma once

#include <optional>

#include "base/http.h"
#include "reward/chat_api.h"

namespace pupil {

/// The back-off of the providers' own libraries: before retry n = 0, 1, ...
///   min(first_s * 2^n, longest_s) * (1 - jitter * U[0, 1))
/// and never less than the server asks for.
struct RetryPolicy {
  int max_retries = 4;
  double first_s = 0.5;
  double longest_s = 8;
  double jitter = 0.25;
  double longest_server_wait_s = 120;  // a server that wants more is not asked again
};

/// True for trouble that passes: network, 5xx, 408, 409, 429, a reply that broke off.
bool is_transient(ChatOutcome outcome);

/// True where no later request can succeed either: wrong key, wrong address, no money,
/// nobody there.
bool is_final(ChatOutcome outcome);

/// Seconds that the server asks to wait: retry-after-ms, retry-after in seconds, or as
/// an HTTP date; none if it does not say, or nonsense.
std::optional<double> server_wait_s(const HttpReply& reply);

/// Seconds to wait before retry number `retry` (from 0), `unit` in [0, 1) drawn by the
/// caller; none: do not ask again.
std::optional<double> retry_delay_s(
    const RetryPolicy& policy,
    int retry,
    double unit,
    std::optional<double> server_wait);

/// How many requests may be in flight: halved when the server says "too fast", one more
/// after each full round of good answers, between 1 and `most`.
class ConcurrencyLimit {
 public:
  explicit ConcurrencyLimit(int most) : most_(most), allowed_(most) {}
  int allowed() const { return static_cast<int>(allowed_); }
  void on_answer();

  /// `sent_s` is when the complaining request was sent: requests that were already
  /// under way when the limit fell last do not make it fall again.
  void on_busy(double now_s, double sent_s);

 private:
  double most_;
  double allowed_;
  double lowered_s_ = -1;
};

}  // namespace pupil
