// HTTP -> ChatReply: the shapes of answers and the decision by status and error code.
// Replies are hostile until checked: nothing here trusts a type, a size or a field.

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/json_depth.h"
#include "reward/chat_api.h"
#include "reward/chat_text.h"

namespace pupil {

namespace {

using nlohmann::json;

// ---- fields of any type

const json& field(const json& object, const char* name) {
  static const json kNull;
  if (!object.is_object()) return kNull;
  auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

std::string text_of(const json& value) {
  return value.is_string() ? value.get<std::string>() : "";
}

int64_t count_of(const json& value) {
  return value.is_number_unsigned() ? static_cast<int64_t>(std::min<uint64_t>(
                                          value.get<uint64_t>(), INT32_MAX))
                                    : 0;
}

std::string header(const HttpReply& reply, const char* name) {
  auto found = reply.headers.find(name);
  return found == reply.headers.end() ? "" : found->second;
}

// ---- errors

struct ApiError {
  std::string message;
  std::string codes;  // every type and code of the error, separated by blanks
};

// {"error":{...}} of both providers, {"error":"text"} and {"object":"error",...};
// anything else, such as a proxy's HTML page, is its own message.
ApiError api_error(const std::string& body) {
  json whole = json_or_discarded(body);
  const json& inner = field(whole, "error");
  const json& error = inner.is_object() ? inner : whole;
  ApiError out;
  out.message = inner.is_string() ? text_of(inner) : text_of(field(error, "message"));
  if (out.message.empty()) out.message = body.substr(0, 1000);
  for (const char* name : {"type", "code"})
    out.codes += text_of(field(error, name)) + " ";
  out.codes += text_of(field(field(error, "details"), "error_code"));
  return out;
}

// Both providers use 429 for "too fast" and for "no money left"; only the codes tell.
bool is_out_of_quota(int status, const ApiError& error) {
  static constexpr std::array kCodes = {
      "insufficient_quota",
      "credit_balance_exhausted",
      "billing_hard_limit_reached",
      "spend_limit",
      "usage_limit"};
  if (status == 402) return true;
  if (error.codes.find("billing_error") != std::string::npos) return true;
  if (error.message.find("credit balance is too low") != std::string::npos) return true;
  return status < 500 &&
         std::any_of(kCodes.begin(), kCodes.end(), [&](const char* code) {
           return error.codes.find(code) != std::string::npos;
         });
}

ChatOutcome outcome_of_status(int status, const ApiError& error) {
  if (is_out_of_quota(status, error)) return ChatOutcome::out_of_quota;
  if (status == 401 || status == 403 || status == 404) return ChatOutcome::unauthorized;
  if (status >= 300 && status < 400) return ChatOutcome::unauthorized;
  if (status == 429) return ChatOutcome::busy;
  if (status == 408 || status == 409 || status >= 500) return ChatOutcome::unavailable;
  return ChatOutcome::rejected;
}

// The provider's own word on whether to ask again; it cannot make money appear.
ChatOutcome with_override(ChatOutcome outcome, const HttpReply& reply) {
  std::string word = header(reply, "x-should-retry");
  bool transient = outcome == ChatOutcome::busy || outcome == ChatOutcome::unavailable;
  if (word == "true" && outcome == ChatOutcome::rejected)
    return ChatOutcome::unavailable;
  if (word == "false" && transient) return ChatOutcome::rejected;
  return outcome;
}

void read_error(const HttpReply& http, ChatReply& reply) {
  ApiError error = api_error(http.body);
  reply.outcome = with_override(outcome_of_status(http.status, error), http);
  reply.error = "HTTP " + std::to_string(http.status) + ": ";
  bool redirect = http.status >= 300 && http.status < 400;
  reply.error += redirect ? "a redirect, which is never followed" : error.message;
}

// ---- answers

// What of `choices[0].logprobs` a judge of digits needs, bounded: the tokens of the
// first places with their likeliest rivals.
std::string first_logprobs(const json& choice) {
  constexpr size_t kPlaces = 4, kRivals = 20;
  const json& content = field(field(choice, "logprobs"), "content");
  if (!content.is_array() || content.empty()) return "";
  json places = json::array();
  for (size_t i = 0; i < std::min(content.size(), kPlaces); ++i) {
    json top = json::array();
    const json& rivals = field(content[i], "top_logprobs");
    for (size_t k = 0; rivals.is_array() && k < std::min(rivals.size(), kRivals); ++k) {
      top.push_back({text_of(field(rivals[k], "token")), field(rivals[k], "logprob")});
    }
    places.push_back({{"token", text_of(field(content[i], "token"))}, {"top", top}});
  }
  return places.dump(-1, ' ', false, json::error_handler_t::replace);
}

void read_openai(const json& body, ChatReply& reply) {
  const json& usage = field(body, "usage");
  reply.usage = {
      count_of(field(usage, "prompt_tokens")),
      count_of(field(usage, "completion_tokens"))};
  const json& choices = field(body, "choices");
  if (!choices.is_array() || choices.empty()) {
    reply.error = "the reply has no choices";
    return;
  }
  const json& message = field(choices[0], "message");
  std::string finish = text_of(field(choices[0], "finish_reason"));
  std::string refusal = text_of(field(message, "refusal"));
  reply.text = text_of(field(message, "content"));
  reply.logprobs = first_logprobs(choices[0]);
  if (!refusal.empty() || finish == "content_filter") {
    reply.outcome = ChatOutcome::refused;
    reply.error = "refused: " + (refusal.empty() ? finish : refusal);
  } else if (finish == "length") {
    reply.outcome = ChatOutcome::length;
  } else if (finish != "stop") {
    reply.error = "finish_reason is '" + finish + "', expected 'stop'";
  } else if (!field(message, "content").is_string()) {
    reply.error = "the answer has no text content";
  } else {
    reply.outcome = ChatOutcome::ok;
  }
}

// The text blocks, joined; thinking blocks may stand before them.
bool read_blocks(const json& content, std::string& text) {
  bool found = false;
  if (!content.is_array()) return false;
  for (const auto& block : content) {
    if (text_of(field(block, "type")) != "text") continue;
    found = found || field(block, "text").is_string();
    text += text_of(field(block, "text"));
  }
  return found;
}

// The argument of the one tool there is, as text.
bool read_tool(const json& content, std::string& text) {
  if (!content.is_array()) return false;
  for (const auto& block : content) {
    bool ours = text_of(field(block, "type")) == "tool_use" &&
                text_of(field(block, "name")) == kAnswerTool;
    if (!ours || !field(block, "input").is_object()) continue;
    text = field(block, "input").dump(-1, ' ', false, json::error_handler_t::replace);
    return true;
  }
  return false;
}

void read_anthropic(const json& body, ChatReply& reply) {
  const json& usage = field(body, "usage");
  int64_t cached = count_of(field(usage, "cache_creation_input_tokens")) +
                   count_of(field(usage, "cache_read_input_tokens"));
  reply.usage = {
      count_of(field(usage, "input_tokens")) + cached,
      count_of(field(usage, "output_tokens"))};
  std::string stop = text_of(field(body, "stop_reason"));
  const json& content = field(body, "content");
  bool has_text = read_blocks(content, reply.text);
  if (stop == "tool_use") has_text = read_tool(content, reply.text);
  if (stop == "refusal") {
    reply.outcome = ChatOutcome::refused;
    reply.error = "refused";
  } else if (stop == "max_tokens" || stop == "model_context_window_exceeded") {
    reply.outcome = ChatOutcome::length;
  } else if (stop != "end_turn" && stop != "stop_sequence" && stop != "tool_use") {
    reply.error = "stop_reason is '" + stop + "', expected 'end_turn'";
  } else if (!has_text) {
    reply.error = "the answer has no text content";
  } else {
    reply.outcome = ChatOutcome::ok;
  }
}

void read_success(
    const ChatEndpoint& endpoint, const HttpReply& http, ChatReply& reply) {
  json body = json_or_discarded(http.body);
  if (body.is_discarded() && json::accept(http.body)) {
    reply.outcome = ChatOutcome::malformed;
    reply.error = std::string("the reply is ") + kNestedTooDeep;
    return;
  }
  if (body.is_discarded()) {
    reply.outcome = ChatOutcome::unavailable;
    reply.error = "the reply is not whole, valid JSON: " + one_line(http.body, 100);
    return;
  }
  reply.outcome = ChatOutcome::malformed;
  if (body.is_object() && field(body, "error").is_object()) {
    reply.error = "status 200 with an error: " + api_error(http.body).message;
  } else if (endpoint.provider == ChatProvider::openai) {
    read_openai(body, reply);
  } else {
    read_anthropic(body, reply);
  }
  if (reply.outcome == ChatOutcome::length) reply.error = "cut off at max_tokens";
}

}  // namespace

ChatReply read_chat_reply(const ChatEndpoint& endpoint, const HttpReply& http) {
  ChatReply reply;
  if (http.too_large) {
    reply.outcome = ChatOutcome::rejected;
    reply.error = http.error;
  } else if (!http.error.empty()) {
    reply.outcome = ChatOutcome::unavailable;
    reply.error = http.error;
  } else if (http.status >= 200 && http.status < 300) {
    read_success(endpoint, http, reply);
  } else {
    read_error(http, reply);
  }
  for (const char* name : {"x-request-id", "request-id"}) {
    if (reply.request_id.empty()) reply.request_id = one_line(header(http, name), 100);
  }
  reply.request_id = without_secret(std::move(reply.request_id), endpoint.key);
  reply.text = without_secret(std::move(reply.text), endpoint.key);
  reply.logprobs = without_secret(std::move(reply.logprobs), endpoint.key);
  // Redacted before it is cut, or half a key could stay.
  reply.error = one_line(without_secret(std::move(reply.error), endpoint.key));
  return reply;
}

std::optional<ChatDialect> adapted(
    const ChatEndpoint& endpoint, const ChatDialect& used, const HttpReply& reply) {
  if (reply.status != 400 && reply.status != 422) return std::nullopt;
  std::string body = reply.body.substr(0, 8 << 10);
  auto names = [&](const char* word) { return body.find(word) != std::string::npos; };
  ChatDialect next = used;
  bool too_long = names("context length") || names("too large");
  bool openai = endpoint.provider == ChatProvider::openai;
  bool no_schema =
      names("response_format") || names("json_schema") || names("output_config");
  if (openai && used.most_top_logprobs > 5 && names("top_logprobs")) {
    next.most_top_logprobs = used.most_top_logprobs / 2;
  } else if (used.structure == ChatStructure::schema && no_schema) {
    next.structure = openai ? ChatStructure::words : ChatStructure::tool;
  } else if (used.structure == ChatStructure::tool && names("tool")) {
    next.structure = ChatStructure::words;
  } else if (
      openai && !used.token_limit_settled && !too_long &&
      names(used.max_completion_tokens ? "max_completion_tokens" : "max_tokens")) {
    next.max_completion_tokens = !used.max_completion_tokens;
    next.token_limit_settled = true;
  } else if (
      used.temperature && names("temperature") &&
      (names("upport") || names("deprecated"))) {
    next.temperature = false;
  } else {
    return std::nullopt;
  }
  return next;
}

}  // namespace pupil
