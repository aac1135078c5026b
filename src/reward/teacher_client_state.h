// What the client's thread works on. Its life is in teacher_client.cpp, what becomes of
// a reply in teacher_settle.cpp, a server that is down in teacher_outage.cpp.

#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>

#include "reward/teacher_client.h"

namespace pupil {

/// Seconds of a clock that never goes back.
double steady_s();

/// One call of `ask`: where its replies go and how many are missing.
struct AskedBatch {
  std::vector<ChatReply> replies;
  size_t missing = 0;
  const TeacherClient::OnReply* on_reply = nullptr;
  bool patient = true;
  std::condition_variable done;
};

/// One question on its way.
struct AskedJob {
  AskedBatch* batch = nullptr;  // null: a probe of ours
  size_t index = 0;
  const ChatRequest* request = nullptr;
  ChatDialect dialect;  // of the last attempt
  ChatUsage worst;      // reserved for the last attempt
  int attempts = 0;
  int retries = 0;
  double ready_s = 0;  // not before
  double sent_s = 0;
  double trouble_s = 0;  // since when it fails; 0: it does not
};

/// A server that is down.
struct Outage {
  bool active = false;
  double since_s = 0;  // the first failure after the last success
  int failed_probes = 0;
  bool probing = false;
  double next_probe_s = 0;
  std::vector<std::pair<AskedJob, ChatReply>> parked;
};

// `inbox`, `new_ledger`, `stats`, `stopping`, `broken` and the batches belong to
// `mutex`; all else belongs to the thread.
struct TeacherClient::State {
  ChatEndpoint endpoint;
  ClientOptions options;
  HttpMulti http;
  ChatDialect dialect = first_dialect(endpoint);
  ConcurrencyLimit limit{options.max_concurrency};
  RatePacer pacer{options.rate};
  CostCap cap{options.max_cost_usd, options.prices};
  TokenBound bound;
  std::unique_ptr<SpendingLedger> ledger = std::make_unique<SpendingLedger>("");
  bool ledger_lost = false;  // that was said
  std::mt19937_64 random{options.jitter_seed};
  std::deque<AskedJob> waiting;  // in the order of asking
  std::unordered_map<uint64_t, AskedJob> flying;
  uint64_t next_id = 0;
  double hold_until_s = 0;  // nothing is sent before: the server asked for a pause
  double alive_s = 0;       // the last reply of a server that works
  Outage outage;
  ChatRequest probe;
  std::optional<ChatReply> final_reply;

  std::mutex mutex;
  std::vector<AskedJob> inbox;
  std::unique_ptr<SpendingLedger> new_ledger;
  ClientStats stats;
  bool stopping = false;
  std::string broken;  // why the thread has ended; empty: it has not
  std::thread thread;

  State(ChatEndpoint endpoint_in, const ClientOptions& options_in);

  // teacher_client.cpp
  void run();
  void serve();
  void accept_new();
  double send_due();
  double send_waiting(double now);
  std::optional<double> blocked_until(const AskedJob& job, double now);
  void send(AskedJob job);
  void finish(const AskedJob& job, ChatReply reply);
  void finish_all(const ChatReply& reply);

  // teacher_settle.cpp
  void settle(uint64_t id, const HttpReply& http_reply);
  void count(uint64_t id, const AskedJob& job, const ChatReply& reply, double seconds);
  void charge(const ChatUsage& usage, double usd);
  bool again(AskedJob& job, const ChatReply& reply, const HttpReply& http_reply);
  void slow_down(const AskedJob& job, const HttpReply& http_reply);
  void adapt(const ChatDialect& next);
  void end_with(const ChatReply& reply);

  // teacher_outage.cpp
  bool may_be_down(const AskedJob& job, const ChatReply& reply) const;
  void park(const AskedJob& job, const ChatReply& reply);
  double send_probe_if_due(double now);
  void settle_probe(const ChatReply& reply, const HttpReply& http_reply);
  void end_outage();
  void notice(const std::string& text) const;
  bool give_up_waiting(double now);
};

}  // namespace pupil
