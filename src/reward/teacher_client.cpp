#include "reward/teacher_client.h"

#include <algorithm>
#include <chrono>

#include "reward/teacher_client_state.h"

namespace pupil {

namespace {

constexpr double kIdleSeconds = 60;

ChatReply stopping_reply() {
  ChatReply reply;
  reply.error = "the run is stopping";
  return reply;
}

}  // namespace

double steady_s() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

TeacherClient::State::State(ChatEndpoint endpoint_in, const ClientOptions& options_in)
    : endpoint(std::move(endpoint_in)), options(options_in) {
  probe.messages = {{"user", "Reply with the word: ready"}};
  probe.max_tokens = 16;
}

void TeacherClient::State::run() {
  ChatReply last = stopping_reply();
  try {
    serve();
  } catch (const std::exception& error) {
    last.error = error.what();
  }
  {
    std::lock_guard lock(mutex);  // whoever asks from now on is told at once
    broken = last.error;
  }
  accept_new();
  finish_all(last);
}

void TeacherClient::State::serve() {
  while (true) {
    accept_new();
    {
      std::lock_guard lock(mutex);
      if (stopping) return;
    }
    double due = send_due();
    for (auto& [id, reply] : http.wait(std::max(0.0, due - steady_s()))) {
      settle(id, reply);
    }
  }
}

void TeacherClient::State::accept_new() {
  std::lock_guard lock(mutex);
  std::move(inbox.begin(), inbox.end(), std::back_inserter(waiting));
  inbox.clear();
  if (!new_ledger) return;
  ledger = std::move(new_ledger);
  stats.spent_usd = ledger->total().usd;
  cap.start_at(stats.spent_usd);
}

/// Sends what may leave now; returns when to look again.
double TeacherClient::State::send_due() {
  double now = steady_s();
  if (outage.active && !final_reply) return send_probe_if_due(now);
  if (final_reply) {
    while (!waiting.empty()) {
      finish(waiting.front(), *final_reply);
      waiting.pop_front();
    }
    return now + kIdleSeconds;
  }
  return now < hold_until_s ? hold_until_s : send_waiting(now);
}

double TeacherClient::State::send_waiting(double now) {
  double due = now + kIdleSeconds;
  for (auto job = waiting.begin(); job != waiting.end();) {
    if (static_cast<int>(flying.size()) >= limit.allowed()) return now + kIdleSeconds;
    if (job->ready_s > now) {
      due = std::min(due, job->ready_s);
      ++job;
      continue;
    }
    if (auto until = blocked_until(*job, now)) return *until;
    send(*job);
    job = waiting.erase(job);
  }
  return due;
}

/// Why a job that is due stays: rate and money. None: it may leave.
std::optional<double> TeacherClient::State::blocked_until(
    const AskedJob& job, double now) {
  ChatUsage worst = bound.worst(*job.request);
  switch (cap.verdict(worst)) {
    case CostCap::Verdict::send:
      break;
    case CostCap::Verdict::wait:
      return now + kIdleSeconds;  // until something in flight has ended
    case CostCap::Verdict::stop: {
      ChatReply reply;
      reply.outcome = ChatOutcome::over_budget;
      reply.error = "the next request could pass the cap";
      end_with(reply);
      return now;
    }
  }
  double ready = pacer.ready_s(now, worst.input_tokens + worst.output_tokens);
  return ready > now ? std::optional(ready) : std::nullopt;
}

void TeacherClient::State::send(AskedJob job) {
  job.dialect = dialect;
  job.sent_s = steady_s();
  job.worst = bound.worst(*job.request);
  ++job.attempts;
  {
    std::lock_guard lock(mutex);
    ++stats.calls;
    stats.retries += job.batch && job.attempts > 1;
    stats.probes += !job.batch;
  }
  pacer.on_sent(next_id, job.sent_s, job.worst.input_tokens + job.worst.output_tokens);
  cap.on_sent(job.worst);
  HttpRequest request = to_http(endpoint, dialect, *job.request);
  request.fresh_connection = job.attempts > 1;
  http.start(next_id, std::move(request));
  flying.emplace(next_id++, job);
}

void TeacherClient::State::finish(const AskedJob& job, ChatReply reply) {
  if (!job.batch) return;
  reply.attempts = job.attempts;
  if (*job.batch->on_reply) (*job.batch->on_reply)(job.index, reply);
  std::lock_guard lock(mutex);
  job.batch->replies[job.index] = std::move(reply);
  if (--job.batch->missing == 0) job.batch->done.notify_all();
}

void TeacherClient::State::finish_all(const ChatReply& reply) {
  for (const auto& job : waiting) finish(job, reply);
  for (const auto& [id, job] : flying) finish(job, reply);
  for (const auto& [job, last] : outage.parked) finish(job, reply);
  waiting.clear();
  flying.clear();
  outage.parked.clear();
}

TeacherClient::TeacherClient(ChatEndpoint endpoint, const ClientOptions& options)
    : state_(std::make_unique<State>(std::move(endpoint), options)) {
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

TeacherClient::~TeacherClient() {
  stop();
  state_->thread.join();
}

void TeacherClient::stop() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->http.wake();
}

std::vector<ChatReply> TeacherClient::ask(
    std::span<const ChatRequest> requests, const OnReply& on_reply, bool patient) {
  AskedBatch batch;
  batch.replies.resize(requests.size());
  batch.missing = requests.size();
  batch.on_reply = &on_reply;
  batch.patient = patient;
  {
    std::lock_guard lock(state_->mutex);
    if (!state_->broken.empty()) throw std::runtime_error(state_->broken);
    for (size_t i = 0; i < requests.size(); ++i) {
      AskedJob job;
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

void TeacherClient::keep_ledger(const std::string& path) {
  auto ledger = std::make_unique<SpendingLedger>(path);
  std::lock_guard lock(state_->mutex);
  state_->new_ledger = std::move(ledger);
  state_->stats.spent_usd = state_->new_ledger->total().usd;
}

const ChatEndpoint& TeacherClient::endpoint() const {
  return state_->endpoint;
}

ClientStats TeacherClient::stats() const {
  std::lock_guard lock(state_->mutex);
  return state_->stats;
}

}  // namespace pupil
