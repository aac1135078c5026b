#include "hub/client.h"

#include <cctype>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>

#include "base/progress.h"
#include "base/quote.h"

namespace pupil {

namespace {

constexpr int kMostRedirects = 10, kMostTries = 5;

bool is_success(const HttpReply& reply) {
  return reply.status >= 200 && reply.status < 300;
}

bool is_redirect(const HttpReply& reply) {
  return reply.status >= 300 && reply.status < 400 &&
         reply.headers.contains("location");
}

bool may_pass(const HttpReply& reply) {
  return !reply.error.empty() || reply.status == 429 || reply.status >= 500;
}

std::string header(const HttpReply& reply, const std::string& name) {
  auto found = reply.headers.find(name);
  return found == reply.headers.end() ? "" : found->second;
}

std::string trouble_of(const HttpReply& reply) {
  return reply.error.empty() ? "HTTP " + std::to_string(reply.status) : reply.error;
}

HttpUrl checked_endpoint(std::string endpoint) {
  if (endpoint.find('?') != endpoint.npos) {
    throw std::invalid_argument(
        "[HF_ENDPOINT] " + in_quotes(endpoint) + " has a query (?...); leave it out");
  }
  return checked_url("HF_ENDPOINT", endpoint, "");
}

std::string without_slash(std::string text) {
  while (text.ends_with('/')) text.pop_back();
  return text;
}

// What the hub's reply means for who asked. It says 401 for names that do not exist,
// too, so as not to tell which private ones do.
std::string reason(
    const HttpReply& reply,
    const HubName& name,
    const std::string& url,
    bool has_token) {
  auto code = header(reply, "x-error-code");
  auto status = " (HTTP " + std::to_string(reply.status) + ")";
  auto token = has_token ? std::string("check that HF_TOKEN is valid and may read it")
                         : std::string("set HF_TOKEN");
  if (code == "GatedRepo" || reply.status == 403) {
    return "access is restricted" + status + "; accept the licence at " + url +
           " and " + token;
  }
  if (reply.status == 401) {
    return "no such public model" + status +
           "; check the name; if it is private or gated, accept the licence at " + url +
           " and " + token;
  }
  if (code == "RevisionNotFound") {
    return "no revision " + in_quotes(name.revision) + status;
  }
  if (reply.status == 404) {
    return "not found on the hub" + status +
           ", and there is no such path here; check the name and the revision " +
           in_quotes(name.revision);
  }
  return "the hub answered HTTP " + std::to_string(reply.status) + "; try again later";
}

}  // namespace

std::string in_address(const std::string& text) {
  std::string out;
  for (unsigned char c : text) {
    bool is_plain = c < 128 && (std::isalnum(c) || std::string_view("-._~").find(c) !=
                                                       std::string_view::npos);
    char coded[4];
    std::snprintf(coded, sizeof coded, "%%%02X", c);
    is_plain ? out += static_cast<char>(c) : out += coded;
  }
  return out;
}

HubClient::HubClient(HubSettings settings)
    : settings_(std::move(settings)), endpoint_(checked_endpoint(settings_.endpoint)) {
  endpoint_.text = without_slash(endpoint_.text);
}

HttpReply HubClient::get(
    const std::string& path,
    const std::vector<std::string>& headers,
    const Sink& sink) {
  HttpUrl url = endpoint_;
  url.text += path;
  for (int hop = 0;; ++hop) {
    HttpGet request{.url = url.text, .headers = headers};
    request.stall_s = settings_.stall_s;
    if (!settings_.token.empty() && same_origin(url, endpoint_)) {
      request.headers.push_back("Authorization: Bearer " + settings_.token);
    }
    request.sink = [&](const HttpReply& head, std::string_view bytes) {
      return !is_success(head) || sink(head, bytes);
    };
    auto reply = getter_.get(request);
    has_answered_ |= reply.status != 0;
    if (!is_redirect(reply)) return reply;
    if (hop == kMostRedirects) {
      reply.error = "more than " + std::to_string(kMostRedirects) + " redirects";
      return reply;
    }
    url = redirected_url("hub", url, reply.headers.at("location"));
  }
}

HttpReply HubClient::with_retries(
    const std::function<HttpReply()>& attempt, const std::function<bool()>& progress) {
  double pause_s = settings_.retry_pause_s;
  for (int tries = 1;; ++tries) {
    auto reply = attempt();
    if (!may_pass(reply) || !has_answered_) return reply;
    if (progress()) tries = 1, pause_s = settings_.retry_pause_s;
    if (tries == kMostTries) return reply;
    announce_progress(trouble_of(reply) + ", again in " + duration_text(pause_s));
    std::this_thread::sleep_for(std::chrono::duration<double>(pause_s));
    pause_s *= 2;
  }
}

void HubClient::fail(
    const HttpReply& reply, const HubName& name, const std::string& what) const {
  auto where = "[hub] " + what + ": ";
  if (!reply.error.empty()) {
    throw std::runtime_error(
        where + endpoint_.host + ": " + reply.error +
        "; check the network; the same command goes on where this one ended, and "
        "HF_HUB_OFFLINE=1 uses what the cache has");
  }
  throw std::runtime_error(
      where +
      reason(reply, name, endpoint_.text + "/" + name.id(), !settings_.token.empty()));
}

}  // namespace pupil
