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
  int requests_per_minute = 0;
  int tokens_per_minute = 0;
  double max_cost_usd = 0;
  std::optional<double> price_per_mtok_in;
  std::optional<double> price_per_mtok_out;
  double max_outage_s = 1800;
  std::string on_failure = "unscored";
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
    f("requests_per_minute",
      self.requests_per_minute,
      "in any 60 seconds; 0: no limit of ours",
      kNotNegative);
    f("tokens_per_minute",
      self.tokens_per_minute,
      "sent and received in any 60 seconds; 0: no limit of ours",
      kNotNegative);
    f("max_cost_usd",
      self.max_cost_usd,
      "the run is saved and stopped before it has cost more; 0: no cap",
      kNotNegative);
    f("price_per_mtok_in",
      self.price_per_mtok_in,
      "USD for a million tokens sent; a cap needs both prices",
      kNotNegative);
    f("price_per_mtok_out",
      self.price_per_mtok_out,
      "USD for a million tokens received",
      kNotNegative);
    f("max_outage_s",
      self.max_outage_s,
      "how long to wait for a teacher that is down; then the run is saved and stopped. "
      "0: do not wait, leave unscored",
      kNotNegative);
    f("on_failure",
      self.on_failure,
      "what a question without a usable answer does: leave its sample unscored, or "
      "save "
      "and stop the run",
      Choices{"unscored|stop"});
    f("cache",
      self.cache,
      "SQLite file of answers, shared by runs; default: in the user's cache directory");
  }
};

}  // namespace pupil
