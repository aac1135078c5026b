#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"

namespace pupil {

/// What the judge grades by an integer from 0 to 10.
struct Criterion {
  std::string name;
  double weight = 1;  // relative to the others'
  std::string meaning;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("name", self.name, "lower-case letters, digits and underscores");
    f("weight", self.weight, "its share of the sum of all weights", kPositive);
    f("meaning", self.meaning, "what the judge is told to look for");
  }
};

struct TeacherConfig {
  std::string provider = "none";
  std::optional<std::string> model;
  std::optional<std::string> base_url;
  std::optional<std::string> api_key_env;
  std::string mode = "rubric";
  std::vector<Criterion> criteria = {
      {"correctness", 0.3, "does what the task asks, edge cases included"},
      {"quality", 0.3, "clear names and structure, idiomatic, nothing superfluous"},
      {"efficiency", 0.2, "sensible algorithm and data structures for the task"},
      {"documentation", 0.2, "a docstring or comments that help a reader"}};
  int samples = 1;
  int max_pairs = 28;
  int top_logprobs = 20;
  double min_score_mass = 0.5;
  double known_answer_rate = 0.02;
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
    visit_provider(self, f);
    visit_judging(self, f);
    visit_requests(self, f);
    visit_bounds(self, f);
  }

 private:
  template <class Self, class F>
  static void visit_provider(Self& self, F&& f) {
    f("provider",
      self.provider,
      "whose chat API the teacher speaks; local: a model in this program",
      Choices{"none|openai|anthropic|local"});
    f("model",
      self.model,
      "the teacher's model name; of a local one its directory, or `student`: the "
      "student's own weights without their adapter");
    f("base_url",
      self.base_url,
      "of the API; default: the provider's own; http only to loopback");
    f("api_key_env",
      self.api_key_env,
      "environment variable that holds the key; default OPENAI_API_KEY or "
      "ANTHROPIC_API_KEY");
  }

  template <class Self, class F>
  static void visit_judging(Self& self, F&& f) {
    f("mode",
      self.mode,
      "grades for each answer, for all of a group at once, wins among its answers, or "
      "the expectation over the probabilities of a digit",
      Choices{"rubric|group|pairwise|expected"});
    f("criteria", self.criteria, "what rubric and group grade, and the others go by");
    f("samples",
      self.samples,
      "judgements of each answer, averaged; more than one needs a temperature",
      kAtLeastOne);
    f("max_pairs",
      self.max_pairs,
      "pairwise: pairs of a group that are compared, each in both orders",
      kAtLeastOne);
    f("top_logprobs",
      self.top_logprobs,
      "expected: likeliest tokens that the server is asked for",
      Range{1, 20});
    f("min_score_mass",
      self.min_score_mass,
      "expected: probability that must lie on the digits, or the answer is unscored",
      kUnit);
    f("known_answer_rate",
      self.known_answer_rate,
      "share of judged answers that come with a known-bad program to be judged",
      kUnit);
  }

  template <class Self, class F>
  static void visit_requests(Self& self, F&& f) {
    f("temperature", self.temperature, "of the teacher's answers", kNotNegative);
    f("max_tokens", self.max_tokens, "limit of one answer", kAtLeastOne);
    f("timeout_s", self.timeout_s, "limit of one request, in seconds", kPositive);
    f("max_concurrency", self.max_concurrency, "requests in flight", kAtLeastOne);
    f("max_retries",
      self.max_retries,
      "attempts after the first, with back-off",
      kNotNegative);
  }

  template <class Self, class F>
  static void visit_bounds(Self& self, F&& f) {
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
