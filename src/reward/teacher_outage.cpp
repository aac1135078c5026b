// A server that is down: told from a request that fails on its own, waited for, given
// up.

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>

#include "base/progress.h"
#include "reward/teacher_client_state.h"

namespace pupil {

namespace {

constexpr double kLook = 0.25;  // seconds between looks at a wish to stop

}  // namespace

/// A request without retries left, and nobody had an answer since it was sent last.
bool TeacherClient::State::may_be_down(
    const AskedJob& job, const ChatReply& reply) const {
  return options.max_outage_s > 0 && !final_reply && job.batch->patient &&
         is_transient(reply.outcome) && alive_s < job.sent_s;
}

void TeacherClient::State::park(const AskedJob& job, const ChatReply& reply) {
  double since_s = std::max(job.trouble_s, alive_s);
  outage.since_s = outage.parked.empty() ? since_s : std::min(outage.since_s, since_s);
  outage.parked.emplace_back(job, reply);
  if (outage.active) return;
  outage.active = true;
  outage.failed_probes = 0;
  outage.next_probe_s = std::max(steady_s(), hold_until_s);
}

/// Returns when to look again.
double TeacherClient::State::send_probe_if_due(double now) {
  if (give_up_waiting(now)) return now;
  double deadline = now + kLook;
  if (outage.probing) return deadline;
  if (now < outage.next_probe_s) return std::min(deadline, outage.next_probe_s);
  AskedJob job;
  job.request = &probe;
  if (auto until = blocked_until(job, now)) return std::min(deadline, *until);
  outage.probing = true;
  send(job);
  return deadline;
}

bool TeacherClient::State::give_up_waiting(double now) {
  ChatReply reply;
  if (options.stop_requested && options.stop_requested()) {
    reply.error = "the run is stopping";
  } else if (outage.failed_probes > 0 && now >= outage.since_s + options.max_outage_s) {
    reply.outcome = ChatOutcome::down;
    reply.error = outage.parked.back().second.error;
  } else {
    return false;
  }
  end_with(reply);
  return true;
}

void TeacherClient::State::settle_probe(
    const ChatReply& reply, const HttpReply& http_reply) {
  outage.probing = false;
  if (!outage.active || final_reply) return;
  if (is_final(reply.outcome)) return end_with(reply);
  if (auto next = adapted(endpoint, dialect, http_reply)) return adapt(*next);
  if (!is_transient(reply.outcome)) return end_outage();
  const RetryPolicy& policy = options.retry;
  double pause = std::min(
      policy.first_s * std::exp2(std::min(outage.failed_probes, 30)), policy.longest_s);
  double now = steady_s();
  outage.next_probe_s = now + std::max(pause, server_wait_s(http_reply).value_or(0));
  if (outage.failed_probes++ == 0) {
    std::lock_guard lock(mutex);
    ++stats.outages;
    spdlog::warn(
        "[teacher] {} is down ({}): waiting for it up to {} (teacher.max_outage_s)",
        endpoint.model,
        reply.error,
        duration_text(options.max_outage_s));
  }
  notice(
      "the teacher is down for " + duration_text(now - outage.since_s) + " of " +
      duration_text(options.max_outage_s));
}

/// All go on. Where the server was there all along, the requests that raised the alarm
/// end with what they met.
void TeacherClient::State::end_outage() {
  bool was_down = outage.failed_probes > 0;
  for (auto& [job, last] : outage.parked) {
    if (was_down) {
      job.retries = 0;
      job.trouble_s = job.ready_s = 0;
      waiting.push_back(job);
    } else {
      finish(job, last);
    }
  }
  outage.parked.clear();
  outage.active = false;
  if (!was_down) return;
  notice("");
  spdlog::info(
      "[teacher] {} is back after {}",
      endpoint.model,
      duration_text(steady_s() - outage.since_s));
}

void TeacherClient::State::notice(const std::string& text) const {
  if (options.on_notice) options.on_notice(text);
}

}  // namespace pupil
