#include "reward/teacher_client.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <unordered_map>

namespace pupil {

namespace {

double now_s() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

/// One call of `ask`: where its replies go and how many are missing.
struct Batch {
  std::vector<ChatReply> replies;
  size_t missing = 0;
  const TeacherClient::OnReply* on_reply = nullptr;
  std::condition_variable done;
};

/// One question on its way.
struct Job {
  Batch* batch = nullptr;
  size_t index = 0;
  const ChatRequest* request = nullptr;
  ChatDialect dialect;  // of the last attempt
  int attempts = 0;
  int retries = 0;
  double ready_s = 0;  // not before
  double sent_s = 0;
};

}  // namespace

// `inbox`, `stats`, `stopping`, `broken` and the batches belong to `mutex`; all else
// belongs to the thread.
struct TeacherClient::State {
  ChatEndpoint endpoint;
  ClientOptions options;
  HttpMulti http;
  ChatDialect dialect = first_dialect(endpoint);
  ConcurrencyLimit limit{options.max_concurrency};
  std::mt19937_64 random{options.jitter_seed};
  std::deque<Job> waiting;  // in the order of asking
  std::unordered_map<uint64_t, Job> flying;
  uint64_t next_id = 0;
  double hold_until_s = 0;  // nothing is sent before: the server asked for a pause
  std::optional<ChatReply> final_reply;

  std::mutex mutex;
  std::vector<Job> inbox;
  ClientStats stats;
  bool stopping = false;
  std::string broken;  // why the thread ended by itself; empty: it did not
  std::thread thread;

  State(ChatEndpoint endpoint_in, const ClientOptions& options_in)
      : endpoint(std::move(endpoint_in)), options(options_in) {}

  void run();
  void serve();
  void accept_new();
  void send_due();
  void send(Job job);
  double next_due_s() const;
  void settle(Job job, const HttpReply& http_reply);
  bool again(Job& job, const ChatReply& reply, const HttpReply& http_reply);
  void adapt(const ChatDialect& next);
  void finish(const Job& job, ChatReply reply);
  void end_all(const ChatReply& reply);
};

void TeacherClient::State::run() {
  ChatReply last;
  last.error = "the run is stopping";
  try {
    serve();
  } catch (const std::exception& error) {
    last.error = error.what();
    std::lock_guard lock(mutex);
    broken = last.error;
  }
  end_all(last);
}

void TeacherClient::State::serve() {
  while (true) {
    accept_new();
    {
      std::lock_guard lock(mutex);
      if (stopping) return;
    }
    send_due();
    for (auto& [id, reply] : http.wait(next_due_s())) {
      settle(flying.extract(id).mapped(), reply);
    }
  }
}

void TeacherClient::State::accept_new() {
  std::lock_guard lock(mutex);
  std::move(inbox.begin(), inbox.end(), std::back_inserter(waiting));
  inbox.clear();
}

void TeacherClient::State::send_due() {
  if (final_reply) {
    while (!waiting.empty()) {
      finish(waiting.front(), *final_reply);
      waiting.pop_front();
    }
    return;
  }
  double now = now_s();
  if (now < hold_until_s) return;
  for (auto job = waiting.begin(); job != waiting.end();) {
    if (static_cast<int>(flying.size()) >= limit.allowed()) return;
    if (job->ready_s > now) {
      ++job;
      continue;
    }
    send(*job);
    job = waiting.erase(job);
  }
}

void TeacherClient::State::send(Job job) {
  job.dialect = dialect;
  job.sent_s = now_s();
  ++job.attempts;
  {
    std::lock_guard lock(mutex);
    ++stats.calls;
    stats.retries += job.attempts > 1;
  }
  http.start(next_id, to_http(endpoint, dialect, *job.request));
  flying.emplace(next_id++, job);
}

double TeacherClient::State::next_due_s() const {
  double due = now_s() + 60;
  if (static_cast<int>(flying.size()) < limit.allowed()) {
    for (const auto& job : waiting) due = std::min(due, job.ready_s);
    if (!waiting.empty()) due = std::max(due, hold_until_s);
  }
  return std::max(0.0, due - now_s());
}

void TeacherClient::State::settle(Job job, const HttpReply& http_reply) {
  ChatReply reply = read_chat_reply(endpoint, http_reply);
  reply.attempts = job.attempts;
  reply.seconds = http_reply.seconds;
  {
    std::lock_guard lock(mutex);
    stats.input_tokens += reply.usage.input_tokens;
    stats.output_tokens += reply.usage.output_tokens;
    stats.seconds += http_reply.seconds;
  }
  if (reply.outcome == ChatOutcome::ok) limit.on_answer();
  if (again(job, reply, http_reply)) {
    waiting.push_back(job);
    return;
  }
  if (is_final(reply.outcome) && !final_reply) final_reply = reply;
  finish(job, std::move(reply));
}

/// Decides on another attempt and sets when it is due.
bool TeacherClient::State::again(
    Job& job, const ChatReply& reply, const HttpReply& http_reply) {
  if (final_reply) return false;
  if (auto next = adapted(endpoint, job.dialect, http_reply)) {
    adapt(*next);
    return true;
  }
  if (!is_transient(reply.outcome)) return false;
  double unit = std::uniform_real_distribution<double>(0, 1)(random);
  auto wait = server_wait_s(http_reply);
  double now = now_s();
  if (reply.outcome == ChatOutcome::busy) limit.on_busy(now, job.sent_s);
  auto delay = retry_delay_s(options.retry, job.retries, unit, wait);
  if (!delay) return false;
  ++job.retries;
  job.ready_s = now + *delay;
  if (reply.outcome == ChatOutcome::busy && wait) {
    hold_until_s = std::max(hold_until_s, now + *wait);
  }
  return true;
}

/// Remembers what the server does not take; says so once for each parameter.
void TeacherClient::State::adapt(const ChatDialect& next) {
  if (dialect.json_schema && !next.json_schema) {
    spdlog::warn(
        "[teacher] {} takes no JSON schema: asking in words only", endpoint.model);
    dialect.json_schema = false;
  }
  if (dialect.temperature && !next.temperature) {
    spdlog::warn(
        "[teacher] {} takes no temperature: its own default is in force",
        endpoint.model);
    dialect.temperature = false;
  }
  if (next.most_top_logprobs < dialect.most_top_logprobs) {
    spdlog::warn(
        "[teacher] {} takes no {} top_logprobs: asking for {}",
        endpoint.model,
        dialect.most_top_logprobs,
        next.most_top_logprobs);
    dialect.most_top_logprobs = next.most_top_logprobs;
  }
  if (!dialect.token_limit_settled && next.token_limit_settled) {
    dialect.max_completion_tokens = next.max_completion_tokens;
    dialect.token_limit_settled = true;
  }
}

void TeacherClient::State::finish(const Job& job, ChatReply reply) {
  reply.attempts = job.attempts;
  if (*job.batch->on_reply) (*job.batch->on_reply)(job.index, reply);
  std::lock_guard lock(mutex);
  job.batch->replies[job.index] = std::move(reply);
  if (--job.batch->missing == 0) job.batch->done.notify_all();
}

void TeacherClient::State::end_all(const ChatReply& reply) {
  accept_new();
  for (const auto& job : waiting) finish(job, reply);
  for (const auto& [id, job] : flying) finish(job, reply);
  waiting.clear();
  flying.clear();
}

TeacherClient::TeacherClient(ChatEndpoint endpoint, const ClientOptions& options)
    : state_(std::make_unique<State>(std::move(endpoint), options)) {
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

TeacherClient::~TeacherClient() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->http.wake();
  state_->thread.join();
}

std::vector<ChatReply> TeacherClient::ask(
    std::span<const ChatRequest> requests, const OnReply& on_reply) {
  Batch batch;
  batch.replies.resize(requests.size());
  batch.missing = requests.size();
  batch.on_reply = &on_reply;
  {
    std::lock_guard lock(state_->mutex);
    if (!state_->broken.empty()) throw std::runtime_error(state_->broken);
    for (size_t i = 0; i < requests.size(); ++i) {
      Job job;
      job.batch = &batch;
      job.index = i;
      job.request = &requests[i];
      state_->inbox.push_back(job);
    }
  }
  state_->http.wake();
  std::unique_lock lock(state_->mutex);
  batch.done.wait(lock, [&] { return batch.missing == 0; });
  return std::move(batch.replies);
}

const ChatEndpoint& TeacherClient::endpoint() const {
  return state_->endpoint;
}

ClientStats TeacherClient::stats() const {
  std::lock_guard lock(state_->mutex);
  return state_->stats;
}

}  // namespace pupil
