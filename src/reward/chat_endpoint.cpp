// From `teacher.*` to an endpoint: addresses and keys.

#include <algorithm>
#include <stdexcept>

#include "base/http_url.h"
#include "base/secret.h"
#include "reward/chat_api.h"

namespace pupil {

namespace {

struct ProviderFacts {
  ChatProvider provider;
  const char* base_url;
  const char* method;
  const char* key_env;
};

ProviderFacts facts_of(const std::string& name) {
  if (name == "openai") {
    return {
        ChatProvider::openai,
        "https://api.openai.com/v1",
        "/chat/completions",
        "OPENAI_API_KEY"};
  }
  if (name == "anthropic") {
    return {
        ChatProvider::anthropic,
        "https://api.anthropic.com",
        "/v1/messages",
        "ANTHROPIC_API_KEY"};
  }
  throw std::invalid_argument(
      "[teacher.provider] expected openai or anthropic, got '" + name +
      "'; set teacher.provider");
}

// Both "https://host" and "https://host/v1" are in use for Anthropic's API.
std::string base_without_version(const ProviderFacts& facts, std::string base) {
  while (base.ends_with('/')) base.pop_back();
  if (facts.provider == ChatProvider::anthropic && base.ends_with("/v1")) {
    base.resize(base.size() - 3);
  }
  return base;
}

bool printable(const std::string& key) {
  return std::all_of(
      key.begin(), key.end(), [](char c) { return c > ' ' && c < 0x7F; });
}

std::string key_from(
    const std::string& variable, bool required, const Environment& environment) {
  std::string key = environment(variable);
  if (key.empty() && required) {
    throw std::invalid_argument(
        "[teacher] no key: the environment variable " + variable +
        " is not set; export " + variable +
        "=..., or name another in teacher.api_key_env");
  }
  if (!printable(key)) {
    throw std::invalid_argument(
        "[teacher] the key in " + variable +
        " holds spaces, line breaks or other characters no key has; set it again");
  }
  return key;
}

}  // namespace

std::string process_environment(const std::string& name) {
  return variable_or_secret(name);
}

ChatEndpoint chat_endpoint(
    const TeacherConfig& config, const Environment& environment) {
  ProviderFacts facts = facts_of(config.provider);
  if (!config.model || config.model->empty()) {
    throw std::invalid_argument(
        "[teacher.model] is not set; name the teacher's model, best with its date");
  }
  std::string base = config.base_url.value_or(facts.base_url);
  HttpUrl own = checked_url("teacher.base_url", facts.base_url, "");
  HttpUrl url =
      checked_url("teacher.base_url", base_without_version(facts, base), facts.method);

  ChatEndpoint endpoint;
  endpoint.provider = facts.provider;
  endpoint.url = url.text;
  endpoint.own_host = url.host == own.host;
  endpoint.model = *config.model;
  endpoint.key_env = config.api_key_env.value_or(facts.key_env);
  // A server on this machine may need no key: then none has to be set.
  bool required = config.api_key_env.has_value() || !url.loopback;
  endpoint.key = key_from(endpoint.key_env, required, environment);
  endpoint.timeout_s = config.timeout_s;
  return endpoint;
}

ChatDialect first_dialect(const ChatEndpoint& endpoint) {
  ChatDialect dialect;
  // Compatible servers all know max_tokens; some ignore the newer name in silence.
  dialect.max_completion_tokens = endpoint.own_host;
  return dialect;
}

}  // namespace pupil
