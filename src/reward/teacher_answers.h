// Answers of the teacher, each paid for once: from the cache, from an identical request
// that is already under way, or from the client, with one fresh question after
// nonsense.

#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "reward/teacher_cache.h"
#include "reward/teacher_client.h"

namespace pupil {

/// Says why a reply with outcome ok or length is of no use; none: it is good. Pure, may
/// run on any thread, does not throw.
using ReplyCheck = std::function<std::optional<std::string>(const ChatReply&)>;

/// The slots of judge_data.h in its texts are filled when it is sent, anew each time.
/// The text of the reply to one that asks for log-probabilities is ChatReply::logprobs.
struct Question {
  ChatRequest request;
  CacheVersions versions;
  ReplyCheck check;
};

/// A judge inside this program, which gives probabilities only.
struct LocalModel {
  /// What a model of the same weights, tokenizer and arithmetic has too: its name in
  /// the cache.
  std::string identity;

  struct Digits {
    std::array<double, 10> logprobs{};  // that the reply begins with this digit, nats
    int64_t tokens = 0;                 // that were run
    std::string error;                  // why there are none; empty: there are
  };
  /// Element i for chat i, which depends on nothing but that chat. Called by one thread
  /// at a time.
  std::function<std::vector<Digits>(std::span<const ChatRequest>)> ask;
};

/// What the teacher did so far.
struct TeacherStats {
  int64_t questions = 0;    // asked of this program, whoever answered
  int64_t cache_hits = 0;   // of those, answered from the file
  int64_t joined = 0;       // answered together with an identical question
  int64_t calls = 0;        // HTTP requests
  int64_t retries = 0;      // of those, not the first for their question
  int64_t reasks = 0;       // fresh questions after nonsense
  int64_t failed = 0;       // questions without a good answer
  int64_t local_zeros = 0;  // answers worth 0 without a question
  int64_t unstored = 0;     // good answers that the cache could not take
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
  double seconds = 0;    // summed over the HTTP requests
  int64_t probes = 0;    // HTTP requests that ask whether a silent server is back
  int64_t outages = 0;   // times that the server was down
  double spent_usd = 0;  // by the ledger, so with what was spent before a resume
};

/// "12 requests (2 retries), 30 answers from the cache, 1200 + 300 tokens, 0.0040 USD".
std::string summary_of(const TeacherStats& stats);

/// Owns client and cache. Safe to use from many threads.
class TeacherAnswers {
 public:
  TeacherAnswers(
      ChatEndpoint endpoint,
      const ClientOptions& options,
      const std::string& cache_file);
  TeacherAnswers(LocalModel model, const std::string& cache_file);
  ~TeacherAnswers();

  /// Element i answers question i: outcome ok or length for what its check found good
  /// and only that is stored; any other outcome with its error. A server that is down
  /// is waited for only if the caller is `patient`. Throws std::runtime_error if the
  /// cache cannot be read, and what a local model throws.
  std::vector<ChatReply> get(std::span<const Question> questions, bool patient = true);

  /// Asks in the background, where a server answers: `get` of the same questions then
  /// waits less and counts them as if it had asked itself. How they end is seen by
  /// `get` alone. Nothing where a local model answers, which other work would slow
  /// down.
  void begin(std::vector<Question> questions);

  /// TeacherClient::keep_ledger; nothing where a local model answers, which costs
  /// nothing.
  void keep_ledger(const std::string& path);

  const ChatEndpoint& endpoint() const;
  TeacherStats stats() const;

  /// Seconds that each question took that was asked since the last call.
  std::vector<double> take_latencies();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pupil
