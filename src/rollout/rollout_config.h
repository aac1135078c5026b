#pragma once

#include <string>
#include <vector>

#include "base/fields.h"

namespace pupil {

struct RolloutConfig {
  int num_generations = 8;
  int max_prompt_length = 512;
  int max_completion_length = 256;
  float temperature = 1.0f;
  float top_p = 1.0f;
  int top_k = 0;
  float min_p = 0.0f;
  std::vector<std::string> stop;
  std::string fallback = "auto";
  int dynamic_sampling = 0;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("num_generations",
      self.num_generations,
      "completions sampled per prompt (G)",
      Range{2});
    f("max_prompt_length",
      self.max_prompt_length,
      "a longer prompt is an error, in tokens",
      kAtLeastOne);
    f("max_completion_length",
      self.max_completion_length,
      "completions are cut there, in tokens",
      kAtLeastOne);
    f("temperature",
      self.temperature,
      "logits are divided by it before sampling",
      kPositive);
    f("top_p",
      self.top_p,
      "sample from the smallest set of tokens with this probability",
      Range{1e-6, 1});
    f("top_k",
      self.top_k,
      "sample from the k most likely tokens; 0: all",
      kNotNegative);
    f("min_p", self.min_p, "drop tokens below min_p times the most likely one", kUnit);
    f("stop", self.stop, "strings that end a completion");
    f("fallback",
      self.fallback,
      "when the student cannot sample, the teacher writes that round (auto: if one "
      "is configured)",
      Choices{"auto|teacher|error"});
    f("dynamic_sampling",
      self.dynamic_sampling,
      "how often, at most, other prompts replace those of a round whose rewards are "
      "all "
      "equal",
      kNotNegative);
  }
};

}  // namespace pupil
