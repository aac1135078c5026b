// Sends chat requests: many at once on one thread of its own, with the one retry layer
// of the program. It knows nothing of judging and keeps no answers.

#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "reward/chat_api.h"
#include "reward/teacher_ledger.h"
#include "reward/teacher_rate.h"
#include "reward/teacher_retry.h"

namespace pupil {

/// What was sent so far.
struct ClientStats {
  int64_t calls = 0;    // HTTP requests
  int64_t retries = 0;  // of those, not the first for their question
  int64_t probes = 0;   // of those, whether a silent server is there again
  int64_t outages = 0;  // times that a server was found to be down
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
  double seconds = 0;    // summed over the requests
  double spent_usd = 0;  // by the ledger, so with what was spent before a resume
};

struct ClientOptions {
  int max_concurrency = 16;
  RetryPolicy retry = {};
  uint64_t jitter_seed = 0;
  RateLimits rate = {};
  double max_cost_usd = 0;  // 0: no cap
  TeacherPrices prices = {};
  double max_outage_s = 0;  // 0: a server that is down is not waited for

  /// Asked now and then while a server is down: true ends the waiting. May be empty.
  std::function<bool()> stop_requested = {};

  /// Told what the client is waiting for, on its own thread; an empty text: for nothing
  /// any more. May be empty.
  std::function<void(const std::string& text)> on_notice = {};
};

/// Owns the connections and the thread. Safe to use from many threads: their requests
/// share one limit of concurrency, rate and cost. The destructor drops what is in
/// flight.
///
/// A request that has used up its retries while no other succeeded may have met a
/// server that is down. Then nothing is sent but one small question at a time, until it
/// is answered, all go on and the retries count anew, or `max_outage_s` has passed and
/// everything ends as `down`. If that question is answered at once, the trouble is the
/// request's own, which ends with it.
class TeacherClient {
 public:
  TeacherClient(ChatEndpoint endpoint, const ClientOptions& options);
  ~TeacherClient();
  TeacherClient(const TeacherClient&) = delete;
  TeacherClient& operator=(const TeacherClient&) = delete;

  /// Called on the client's thread as replies end, in any order: `index` is into the
  /// requests of that call. It must not throw and not take long.
  using OnReply = std::function<void(size_t index, const ChatReply&)>;

  /// Asks everything and waits; element i answers request i. No request outlives
  /// (retries + 1) * timeout plus the waits between, and the outages where it is
  /// `patient`. After a reply that is_final, every request of every thread ends with
  /// that reply's outcome, unsent. Throws std::runtime_error if libcurl itself, or the
  /// ledger of a capped run, broke down.
  std::vector<ChatReply> ask(
      std::span<const ChatRequest> requests,
      const OnReply& on_reply = {},
      bool patient = true);

  /// Ends every request of every thread as cancelled; `ask` throws from now on.
  void stop();

  /// Counts what is spent from now on in this file, and what it holds towards the cap.
  /// Throws std::runtime_error if it cannot be used.
  void keep_ledger(const std::string& path);

  const ChatEndpoint& endpoint() const;
  ClientStats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pupil
