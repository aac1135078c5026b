// How fast requests may follow each other: the user's limits, and what the server says
// about its own. Pure functions of clocks that are passed in.

#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>

#include "base/http.h"

namespace pupil {

/// What a server's headers say is left until its limits are fresh again.
struct ServerBudget {
  std::optional<int64_t> requests = {}, tokens = {};
  double requests_reset_s = 0, tokens_reset_s = 0;  // seconds from now
};

/// Reads x-ratelimit-{remaining,reset}-{requests,tokens} (a reset is a duration,
/// "6m0s" or "120ms") and anthropic-ratelimit-{requests,tokens,input-tokens,
/// output-tokens}-{remaining,reset} (an RFC 3339 time; `unix_s` is now). Of several
/// token limits the one with the least left counts. What cannot be read, is negative,
/// or has no reset to wait for, is left out.
ServerBudget read_server_budget(const HttpReply& reply, double unix_s);

/// The user's limits; 0: none.
struct RateLimits {
  int64_t requests = 0;  // in any window
  int64_t tokens = 0;    // sent and received, in any window
  double window_s = 60;
  double slack_s = 0.5;  // added to the window: requests are not equally long under way
};

/// Decides when the next request may leave. Tokens are reserved by an upper bound when
/// a request leaves, and corrected when its usage is known. One thread.
class RatePacer {
 public:
  explicit RatePacer(const RateLimits& limits) : limits_(limits) {}

  /// The earliest time at which a request of at most `tokens` may leave.
  double ready_s(double now_s, int64_t tokens);

  void on_sent(uint64_t id, double now_s, int64_t tokens);
  /// The request used `tokens`, whether it succeeded or not.
  void on_settled(uint64_t id, int64_t tokens);
  void on_budget(double now_s, const ServerBudget& budget);

  /// The server wants a lower rate: half of that of the last ten seconds.
  void on_slow_down(double now_s);
  /// A good answer: the rate recovers by a fiftieth.
  void on_answer();

 private:
  struct Sent {
    uint64_t id;
    double at_s;
    int64_t tokens;
  };
  void forget(double now_s);
  double own_limits_s(double now_s, int64_t tokens) const;
  double server_limits_s(double now_s, int64_t tokens);

  RateLimits limits_;
  std::deque<Sent> window_;  // by time
  int64_t window_tokens_ = 0;
  std::unordered_map<uint64_t, int64_t> in_flight_;  // tokens reserved
  int64_t in_flight_tokens_ = 0;
  std::optional<int64_t> left_requests_, left_tokens_;  // of the server's
  double requests_fresh_s_ = 0, tokens_fresh_s_ = 0;
  double gap_s_ = 0;  // between requests, after a slow-down
  double last_sent_s_ = -1e9;
};

}  // namespace pupil
