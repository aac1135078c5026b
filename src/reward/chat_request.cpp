// ChatRequest -> HTTP.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "reward/chat_api.h"

namespace pupil {

namespace {

using nlohmann::json;

json turns(const ChatRequest& request, bool with_system) {
  json out = json::array();
  if (with_system && !request.system.empty()) {
    out.push_back({{"role", "system"}, {"content", request.system}});
  }
  for (const auto& message : request.messages) {
    out.push_back({{"role", message.role}, {"content", message.content}});
  }
  return out;
}

json openai_body(
    const ChatEndpoint& endpoint,
    const ChatDialect& dialect,
    const ChatRequest& request) {
  json body = {{"model", endpoint.model}, {"messages", turns(request, true)}};
  body[dialect.max_completion_tokens ? "max_completion_tokens" : "max_tokens"] =
      request.max_tokens;
  if (dialect.temperature) body["temperature"] = request.temperature;
  bool structured = dialect.structure == ChatStructure::schema;
  if (structured && !request.json_schema.empty()) {
    body["response_format"] = {
        {"type", "json_schema"},
        {"json_schema",
         {{"name", "answer"},
          {"strict", true},
          {"schema", json::parse(request.json_schema)}}}};
  }
  if (request.top_logprobs > 0) {
    body["logprobs"] = true;
    body["top_logprobs"] = std::min(request.top_logprobs, dialect.most_top_logprobs);
  }
  return body;
}

void add_structure(json& body, ChatStructure structure, json schema) {
  switch (structure) {
    case ChatStructure::schema:
      body["output_config"]["format"] = {
          {"type", "json_schema"}, {"schema", std::move(schema)}};
      return;
    case ChatStructure::tool:
      body["tools"] = json::array({json{
          {"name", kAnswerTool},
          {"description", "Takes the answer."},
          {"input_schema", std::move(schema)}}});
      body["tool_choice"] = {
          {"type", "tool"}, {"name", kAnswerTool}, {"disable_parallel_tool_use", true}};
      return;
    case ChatStructure::words:
      return;
  }
}

// System text is a field of its own, and a system turn is not a role there.
json anthropic_body(
    const ChatEndpoint& endpoint,
    const ChatDialect& dialect,
    const ChatRequest& request) {
  json body = {
      {"model", endpoint.model},
      {"max_tokens", request.max_tokens},
      {"messages", turns(request, false)}};
  if (!request.system.empty()) body["system"] = request.system;
  if (dialect.temperature) body["temperature"] = request.temperature;
  if (!request.json_schema.empty()) {
    add_structure(body, dialect.structure, json::parse(request.json_schema));
  }
  return body;
}

}  // namespace

HttpRequest to_http(
    const ChatEndpoint& endpoint,
    const ChatDialect& dialect,
    const ChatRequest& request) {
  bool openai = endpoint.provider == ChatProvider::openai;
  HttpRequest out;
  out.url = endpoint.url;
  out.timeout_s = endpoint.timeout_s;
  out.headers = {"Content-Type: application/json", "Accept: application/json"};
  if (!openai) out.headers.push_back("anthropic-version: 2023-06-01");
  if (!endpoint.key.empty()) {
    out.headers.push_back(
        (openai ? "Authorization: Bearer " : "x-api-key: ") + endpoint.key);
  }
  json body = openai ? openai_body(endpoint, dialect, request)
                     : anthropic_body(endpoint, dialect, request);
  out.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return out;
}

}  // namespace pupil
