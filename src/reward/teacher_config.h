#pragma once

#include <optional>
#include <string>

#include "base/fields.h"

namespace pupil {

struct TeacherConfig {
  std::string provider = "none";
  std::optional<std::string> model;
  std::optional<std::string> base_url;
  std::optional<std::string> api_key_env;
  double temperature = 0;
  int max_tokens = 1024;
  double timeout_s = 60;
  int max_concurrency = 16;
  int max_retries = 4;
  std::optional<std::string> cache;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("provider",
      self.provider,
      "whose chat API the teacher speaks",
      Choices{"none|openai|anthropic"});
    f("model", self.model, "the teacher's model name");
    f("base_url",
      self.base_url,
      "of the API; default: the provider's own; http only to loopback");
    f("api_key_env",
      self.api_key_env,
      "environment variable that holds the key; default OPENAI_API_KEY or "
      "ANTHROPIC_API_KEY");
    f("temperature", self.temperature, "of the teacher's answers", kNotNegative);
    f("max_tokens", self.max_tokens, "limit of one answer", kAtLeastOne);
    f("timeout_s", self.timeout_s, "limit of one request, in seconds", kPositive);
    f("max_concurrency", self.max_concurrency, "requests in flight", kAtLeastOne);
    f("max_retries",
      self.max_retries,
      "attempts after the first, with back-off",
      kNotNegative);
    f("cache",
      self.cache,
      "SQLite file of answers, shared by runs; default: in the user's cache directory");
  }
};

}  // namespace pupil
