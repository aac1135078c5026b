// Answers of the teacher, each paid for once: from the cache, from an identical request
// that is already under way, or from the client, with one fresh question after
// nonsense.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "reward/teacher_cache.h"
#include "reward/teacher_client.h"

namespace pupil {

struct Question {
  ChatRequest request;
  CacheVersions versions;
};

/// Says why a reply with outcome ok or length is of no use; none: it is good. Pure, may
/// run on any thread, does not throw.
using ReplyCheck = std::function<std::optional<std::string>(const ChatReply&)>;

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
  ~TeacherAnswers();

  /// Element i answers question i: outcome ok or length for what `check` found good and
  /// only that is stored; any other outcome with its error. Throws std::runtime_error
  /// if the cache cannot be read.
  /// Where the server is down it is waited for only if the caller is `patient`.
  std::vector<ChatReply> get(
      std::span<const Question> questions,
      const ReplyCheck& check,
      bool patient = true);

  /// TeacherClient::keep_ledger.
  void keep_ledger(const std::string& path);

  const ChatEndpoint& endpoint() const;
  TeacherStats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pupil
