// What becomes of a reply: counted, paid for, asked again or handed over.

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "reward/teacher_client_state.h"

namespace pupil {

namespace {

double unix_s() {
  using Clock = std::chrono::system_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

bool has_answer(ChatOutcome outcome) {
  return outcome == ChatOutcome::ok || outcome == ChatOutcome::length ||
         outcome == ChatOutcome::refused || outcome == ChatOutcome::malformed;
}

// A server that works, whatever it thinks of this request.
bool is_alive(ChatOutcome outcome) {
  return has_answer(outcome) || outcome == ChatOutcome::rejected;
}

// What the provider may charge: its own count, or the worst where it gives none.
ChatUsage charged(const AskedJob& job, const ChatReply& reply) {
  bool counted = reply.usage.input_tokens + reply.usage.output_tokens > 0;
  if (counted || !has_answer(reply.outcome)) return reply.usage;
  return job.worst;
}

}  // namespace

void TeacherClient::State::settle(uint64_t id, const HttpReply& http_reply) {
  AskedJob job = flying.extract(id).mapped();
  ChatReply reply = read_chat_reply(endpoint, http_reply);
  reply.attempts = job.attempts;
  reply.seconds = http_reply.seconds;
  count(id, job, reply, http_reply.seconds);
  double now = steady_s();
  pacer.on_budget(now, read_server_budget(http_reply, unix_s()));
  if (is_alive(reply.outcome)) alive_s = now;
  if (!job.batch) return settle_probe(reply, http_reply);
  if (reply.outcome == ChatOutcome::ok) {
    limit.on_answer();
    pacer.on_answer();
  }
  // Before the first probe a reply may be older than the trouble: let that decide.
  bool again_there = outage.active && outage.failed_probes > 0;
  if (is_alive(reply.outcome) && again_there) end_outage();
  if (again(job, reply, http_reply)) {
    waiting.push_back(job);
  } else if (may_be_down(job, reply)) {
    park(job, reply);
  } else {
    if (is_final(reply.outcome)) end_with(reply);
    // What would have been asked again ends as everything else does.
    bool in_vain = final_reply && is_transient(reply.outcome);
    finish(job, in_vain ? *final_reply : std::move(reply));
  }
}

void TeacherClient::State::count(
    uint64_t id, const AskedJob& job, const ChatReply& reply, double seconds) {
  ChatUsage usage = charged(job, reply);
  int64_t tokens = usage.input_tokens + usage.output_tokens;
  pacer.on_settled(id, tokens > 0 ? tokens : job.worst.input_tokens);
  if (reply.usage.input_tokens > 0) bound.learn(*job.request, reply.usage.input_tokens);
  double usd = cap.on_settled(job.worst, usage);
  {
    std::lock_guard lock(mutex);
    stats.input_tokens += reply.usage.input_tokens;
    stats.output_tokens += reply.usage.output_tokens;
    stats.seconds += seconds;
    stats.spent_usd += usd;
  }
  if (tokens > 0) charge(usage, usd);
}

/// A run without a cap does not end for a ledger that is full; a capped one does.
void TeacherClient::State::charge(const ChatUsage& usage, double usd) {
  try {
    ledger->add({1, usage, usd});
  } catch (const std::runtime_error& error) {
    if (options.max_cost_usd > 0) throw;
    if (!std::exchange(ledger_lost, true)) spdlog::warn("{}", error.what());
  }
}

/// Decides on another attempt and sets when it is due.
bool TeacherClient::State::again(
    AskedJob& job, const ChatReply& reply, const HttpReply& http_reply) {
  if (final_reply) return false;
  if (auto next = adapted(endpoint, job.dialect, http_reply)) {
    adapt(*next);
    return true;
  }
  if (!is_transient(reply.outcome)) return false;
  double now = steady_s();
  if (job.trouble_s == 0) job.trouble_s = now;
  if (reply.outcome == ChatOutcome::busy) slow_down(job, http_reply);
  double unit = std::uniform_real_distribution<double>(0, 1)(random);
  auto wait = server_wait_s(http_reply);
  auto delay = retry_delay_s(options.retry, job.retries, unit, wait);
  if (!delay) return false;
  ++job.retries;
  job.ready_s = now + *delay;
  if (reply.outcome == ChatOutcome::busy && wait) {
    hold_until_s = std::max(hold_until_s, now + *wait);
  }
  return true;
}

/// Fewer at once; and further apart where the server says so, or one is still too many.
void TeacherClient::State::slow_down(const AskedJob& job, const HttpReply& http_reply) {
  bool at_least = limit.allowed() == 1;
  limit.on_busy(steady_s(), job.sent_s);
  std::string start = http_reply.body.substr(0, 4096);
  bool named = start.find("\"slow_down\"") != std::string::npos;
  if (named || (at_least && !server_wait_s(http_reply))) pacer.on_slow_down(steady_s());
}

/// Remembers what the server does not take; says so once for each parameter.
void TeacherClient::State::adapt(const ChatDialect& next) {
  if (dialect.structure < next.structure) {
    bool tool = next.structure == ChatStructure::tool;
    spdlog::warn(
        "[teacher] {} takes no JSON schema: {}",
        endpoint.model,
        tool ? "asking for the answer as a tool's argument" : "asking in words only");
    dialect.structure = next.structure;
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

/// The first reason to end everything counts.
void TeacherClient::State::end_with(const ChatReply& reply) {
  if (!final_reply) final_reply = reply;
  if (outage.active) notice("");
  outage.active = false;
  for (const auto& [job, last] : outage.parked) finish(job, *final_reply);
  outage.parked.clear();
}

}  // namespace pupil
