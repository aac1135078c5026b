#include "reward/teacher_rate.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <string>

namespace pupil {

namespace {

constexpr double kLongestServerWait = 120;
constexpr double kRecentSeconds = 10;
constexpr double kLongestGap = 30;

std::string header(const HttpReply& reply, const std::string& name) {
  auto found = reply.headers.find(name);
  return found == reply.headers.end() ? "" : found->second;
}

std::optional<int64_t> count(const std::string& text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && value >= 0 ? std::optional(value) : std::nullopt;
}

std::optional<double> unit_seconds(const std::string& unit) {
  if (unit == "ms") return 1e-3;
  if (unit == "s" || unit.empty()) return 1;
  if (unit == "m") return 60;
  if (unit == "h") return 3600;
  if (unit == "d") return 86400;
  return std::nullopt;
}

// "1s", "6m0s", "250ms", "1.5"; none for anything else.
std::optional<double> duration(const std::string& text) {
  double sum = 0;
  const char* at = text.data();
  const char* end = at + text.size();
  if (at == end) return std::nullopt;
  while (at != end) {
    double value = 0;
    auto [rest, error] = std::from_chars(at, end, value);
    if (error != std::errc() || !std::isfinite(value) || value < 0) return std::nullopt;
    const char* unit = rest;
    while (rest != end && std::isalpha(static_cast<unsigned char>(*rest))) ++rest;
    auto seconds = unit_seconds(std::string(unit, rest));
    if (!seconds) return std::nullopt;
    sum += value * *seconds;
    at = rest;
  }
  return sum;
}

// Seconds since 1970 of "2026-01-02T03:04:05Z", a fraction or an offset included.
std::optional<double> rfc3339(const std::string& text) {
  std::tm parts{};
  int used = 0;
  int read = std::sscanf(
      text.c_str(),
      "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n",
      &parts.tm_year,
      &parts.tm_mon,
      &parts.tm_mday,
      &parts.tm_hour,
      &parts.tm_min,
      &parts.tm_sec,
      &used);
  if (read != 6 || used == 0) return std::nullopt;
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  std::string zone = text.substr(static_cast<size_t>(used));
  if (zone.starts_with(".")) {
    auto end = zone.find_first_not_of("0123456789", 1);
    zone = end == std::string::npos ? "" : zone.substr(end);
  }
  int hours = 0, minutes = 0;
  double offset = 0;
  if (std::sscanf(zone.c_str(), "%3d:%2d", &hours, &minutes) == 2) {
    offset = hours * 3600.0 + (zone[0] == '-' ? -60.0 : 60.0) * minutes;
  } else if (zone != "Z" && zone != "z") {
    return std::nullopt;
  }
  return static_cast<double>(timegm(&parts)) - offset;
}

struct Left {
  std::optional<int64_t> count;
  double reset_s = 0;
};

// The tighter of two limits.
void take(Left& best, std::optional<int64_t> left, std::optional<double> reset_s) {
  if (!left || !reset_s || *reset_s <= 0) return;
  if (best.count && *best.count <= *left) return;
  best = {left, std::min(*reset_s, kLongestServerWait)};
}

Left openai_limit(const HttpReply& reply, const std::string& what) {
  Left best;
  take(
      best,
      count(header(reply, "x-ratelimit-remaining-" + what)),
      duration(header(reply, "x-ratelimit-reset-" + what)));
  return best;
}

void take_anthropic(
    Left& best, const HttpReply& reply, const std::string& what, double unix_s) {
  auto at = rfc3339(header(reply, "anthropic-ratelimit-" + what + "-reset"));
  take(
      best,
      count(header(reply, "anthropic-ratelimit-" + what + "-remaining")),
      at ? std::optional(*at - unix_s) : std::nullopt);
}

}  // namespace

ServerBudget read_server_budget(const HttpReply& reply, double unix_s) {
  Left requests = openai_limit(reply, "requests");
  Left tokens = openai_limit(reply, "tokens");
  take_anthropic(requests, reply, "requests", unix_s);
  for (const char* what : {"tokens", "input-tokens", "output-tokens"}) {
    take_anthropic(tokens, reply, what, unix_s);
  }
  return {requests.count, tokens.count, requests.reset_s, tokens.reset_s};
}

void RatePacer::forget(double now_s) {
  double begin = now_s - limits_.window_s - limits_.slack_s;
  while (!window_.empty() && window_.front().at_s <= begin) {
    window_tokens_ -= window_.front().tokens;
    window_.pop_front();
  }
}

/// When enough of the window has passed for one more.
double RatePacer::own_limits_s(double now_s, int64_t tokens) const {
  auto count = static_cast<int64_t>(window_.size());
  int64_t sum = window_tokens_;
  auto fits = [&] {
    return (limits_.requests == 0 || count < limits_.requests) &&
           (limits_.tokens == 0 || count == 0 || sum + tokens <= limits_.tokens);
  };
  double ready = now_s;
  for (auto sent = window_.begin(); !fits(); ++sent) {
    ready = sent->at_s + limits_.window_s + limits_.slack_s;
    --count;
    sum -= sent->tokens;
  }
  return ready;
}

double RatePacer::server_limits_s(double now_s, int64_t tokens) {
  if (now_s >= requests_fresh_s_) left_requests_.reset();
  if (now_s >= tokens_fresh_s_) left_tokens_.reset();
  double ready = now_s;
  if (left_requests_ && *left_requests_ <= 0) ready = requests_fresh_s_;
  if (left_tokens_ && *left_tokens_ < tokens) ready = std::max(ready, tokens_fresh_s_);
  return ready;
}

double RatePacer::ready_s(double now_s, int64_t tokens) {
  forget(now_s);
  double ready = std::max(own_limits_s(now_s, tokens), server_limits_s(now_s, tokens));
  return std::max(ready, gap_s_ > 0 ? last_sent_s_ + gap_s_ : now_s);
}

void RatePacer::on_sent(uint64_t id, double now_s, int64_t tokens) {
  window_.push_back({id, now_s, tokens});
  window_tokens_ += tokens;
  in_flight_[id] = tokens;
  in_flight_tokens_ += tokens;
  if (left_requests_) --*left_requests_;
  if (left_tokens_) *left_tokens_ -= tokens;
  last_sent_s_ = now_s;
  // Without a limit the window serves on_slow_down alone.
  if (limits_.requests == 0 && limits_.tokens == 0 && window_.size() > 10000) {
    window_tokens_ -= window_.front().tokens;
    window_.pop_front();
  }
}

void RatePacer::on_settled(uint64_t id, int64_t tokens) {
  auto flying = in_flight_.extract(id);
  if (!flying.empty()) in_flight_tokens_ -= flying.mapped();
  auto sent = std::find_if(
      window_.rbegin(), window_.rend(), [&](const Sent& s) { return s.id == id; });
  if (sent == window_.rend()) return;
  window_tokens_ += tokens - sent->tokens;
  sent->tokens = tokens;
}

// What is in flight may not be counted in it yet.
void RatePacer::on_budget(double now_s, const ServerBudget& budget) {
  if (budget.requests) {
    left_requests_ = *budget.requests - static_cast<int64_t>(in_flight_.size());
    requests_fresh_s_ = now_s + budget.requests_reset_s;
  }
  if (budget.tokens) {
    left_tokens_ = *budget.tokens - in_flight_tokens_;
    tokens_fresh_s_ = now_s + budget.tokens_reset_s;
  }
}

void RatePacer::on_slow_down(double now_s) {
  auto recent = std::count_if(window_.begin(), window_.end(), [&](const Sent& s) {
    return s.at_s > now_s - kRecentSeconds;
  });
  double usual = recent > 0 ? kRecentSeconds / static_cast<double>(recent) : 1;
  gap_s_ = std::min(std::max(2 * gap_s_, 2 * usual), kLongestGap);
}

void RatePacer::on_answer() {
  gap_s_ *= 0.9;
  if (gap_s_ < 1e-3) gap_s_ = 0;
}

}  // namespace pupil
