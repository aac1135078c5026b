// The reader of a server's replies, bodies and headers, of both providers. The first
// byte chooses the status, the second the provider; the header's value is what stands
// before the first line break after them.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "reward/chat_api.h"
#include "reward/teacher_rate.h"
#include "reward/teacher_retry.h"

namespace {

constexpr int kStatuses[] = {
    200, 201, 302, 400, 401, 402, 404, 408, 422, 429, 500, 529};
constexpr const char* kKey = "sk-secret-0123456789";

void require(bool holds) {
  if (!holds) abort();
}

pupil::HttpReply reply_from(const uint8_t* data, size_t size) {
  pupil::HttpReply reply;
  reply.status = kStatuses[data[0] % std::size(kStatuses)];
  std::string text(reinterpret_cast<const char*>(data + 2), size - 2);
  auto line = text.find('\n');
  std::string value = text.substr(0, line);
  for (const char* name :
       {"retry-after",
        "retry-after-ms",
        "x-should-retry",
        "x-request-id",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-tokens",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset"}) {
    reply.headers[name] = value;
  }
  if (line != std::string::npos) reply.body = text.substr(line + 1);
  return reply;
}

void read(pupil::ChatProvider provider, const pupil::HttpReply& http) {
  pupil::ChatEndpoint endpoint;
  endpoint.provider = provider;
  endpoint.key = kKey;
  auto reply = pupil::read_chat_reply(endpoint, http);
  require(reply.text.find(kKey) == std::string::npos);
  require(reply.error.find(kKey) == std::string::npos);
  require(reply.error.find('\n') == std::string::npos);
  require(reply.usage.input_tokens >= 0 && reply.usage.output_tokens >= 0);
  require((reply.outcome == pupil::ChatOutcome::ok) == reply.error.empty());
  pupil::adapted(endpoint, pupil::first_dialect(endpoint), http);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  auto http = reply_from(data, size);
  bool openai = data[1] % 2 == 0;
  read(openai ? pupil::ChatProvider::openai : pupil::ChatProvider::anthropic, http);
  auto wait = pupil::server_wait_s(http);
  require(!wait || (std::isfinite(*wait) && *wait >= 0));
  auto budget = pupil::read_server_budget(http, 1.7e9);
  require(!budget.requests || (*budget.requests >= 0 && budget.requests_reset_s > 0));
  require(!budget.tokens || (*budget.tokens >= 0 && budget.tokens_reset_s <= 120));
  return 0;
}
