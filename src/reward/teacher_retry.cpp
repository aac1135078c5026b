#include "reward/teacher_retry.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

namespace pupil {

namespace {

std::optional<double> number(const std::string& text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && std::isfinite(value) && value >= 0 ? std::optional(value)
                                                     : std::nullopt;
}

std::string header(const HttpReply& reply, const char* name) {
  auto found = reply.headers.find(name);
  return found == reply.headers.end() ? "" : found->second;
}

}  // namespace

bool is_transient(ChatOutcome outcome) {
  return outcome == ChatOutcome::busy || outcome == ChatOutcome::unavailable;
}

bool is_final(ChatOutcome outcome) {
  return outcome == ChatOutcome::unauthorized || outcome == ChatOutcome::out_of_quota ||
         outcome == ChatOutcome::over_budget || outcome == ChatOutcome::down;
}

std::optional<double> server_wait_s(const HttpReply& reply) {
  if (auto ms = number(header(reply, "retry-after-ms"))) return *ms / 1e3;
  std::string after = header(reply, "retry-after");
  if (auto seconds = number(after)) return seconds;
  if (after.empty()) return std::nullopt;
  auto [known, seconds] = seconds_until(after);
  return known ? std::optional(std::max(seconds, 0.0)) : std::nullopt;
}

std::optional<double> retry_delay_s(
    const RetryPolicy& policy,
    int retry,
    double unit,
    std::optional<double> server_wait) {
  if (retry >= policy.max_retries) return std::nullopt;
  if (server_wait && *server_wait > policy.longest_server_wait_s) return std::nullopt;
  double base = std::min(policy.first_s * std::exp2(retry), policy.longest_s);
  return std::max(base * (1 - policy.jitter * unit), server_wait.value_or(0));
}

void ConcurrencyLimit::on_answer() {
  allowed_ = std::min(most_, allowed_ + 1 / allowed_);
}

void ConcurrencyLimit::on_busy(double now_s, double sent_s) {
  if (sent_s <= lowered_s_) return;
  allowed_ = std::max(1.0, std::floor(allowed_ / 2));
  lowered_s_ = now_s;
}

}  // namespace pupil
