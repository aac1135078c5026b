// Sends chat requests: many at once on one thread of its own, with the one retry layer
// of the program. It knows nothing of judging and keeps no answers.

#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "reward/chat_api.h"
#include "reward/teacher_retry.h"

namespace pupil {

/// What was sent so far.
struct ClientStats {
  int64_t calls = 0;    // HTTP requests
  int64_t retries = 0;  // of those, not the first for their question
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
  double seconds = 0;  // summed over the requests
};

struct ClientOptions {
  int max_concurrency = 16;
  RetryPolicy retry;
  uint64_t jitter_seed = 0;
};

/// Owns the connections and the thread. Safe to use from many threads: their requests
/// share one limit of concurrency. The destructor drops what is in flight.
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
  /// (retries + 1) * timeout plus the waits between. After a reply that is_final, every
  /// request of every thread ends with that reply's outcome, unsent. Throws
  /// std::runtime_error if libcurl itself broke down.
  std::vector<ChatReply> ask(
      std::span<const ChatRequest> requests, const OnReply& on_reply = {});

  const ChatEndpoint& endpoint() const;
  ClientStats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pupil
