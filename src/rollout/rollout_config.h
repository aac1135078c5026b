#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"

namespace pupil {

struct TokenBias {
  int token = 0;
  float bias = 0.0f;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("token", self.token, "its id", kNotNegative);
    f("bias", self.bias, "added to its logit", Range{-1e9, 1e9});
  }
};

// How logits change before a token is drawn (rollout/logit_rules.h); the keys are
// rollout's own.
struct RuleConfig {
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::vector<TokenBias> logit_bias;
  int min_tokens = 0;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("repetition_penalty",
      self.repetition_penalty,
      "logits of tokens in prompt or completion are divided by it if positive, else "
      "multiplied; 1: off",
      kPositive);
    f("presence_penalty",
      self.presence_penalty,
      "taken off the logits of tokens that the completion has",
      Range{-100, 100});
    f("frequency_penalty",
      self.frequency_penalty,
      "the same, for each time that it has them",
      Range{-100, 100});
    f("logit_bias", self.logit_bias, "added to the logits of some tokens");
    f("min_tokens",
      self.min_tokens,
      "no completion ends before so many tokens",
      kNotNegative);
  }
};

// How much is sampled at once; the keys are rollout's own.
struct RoomConfig {
  std::optional<int> max_rows;
  int cache_memory_mb = 0;
  int prefill_chunk = 512;
  int kv_bits = 0;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("max_rows",
      self.max_rows,
      "completions that are sampled together; null: 32 on a CPU, 64 on a GPU",
      kAtLeastOne);
    f("cache_memory_mb",
      self.cache_memory_mb,
      "prompts and completions wait while keys and values of all could take more; 0: "
      "half of the free memory",
      kNotNegative);
    f("prefill_chunk",
      self.prefill_chunk,
      "tokens of prompts that are run between two steps of the rows that decode; 0: "
      "whole prompts",
      kNotNegative);
    f("kv_bits",
      self.kv_bits,
      "8: keys and values are held in 8 bits, and training computes with the rounded "
      "ones too; 0: as they are",
      Range{0, 8});
  }
};

// Which process samples; the keys are rollout's own.
struct EngineConfig {
  std::string backend = "in_process";
  double worker_start_s = 120;
  double worker_timeout_s = 600;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("backend",
      self.backend,
      "where samples are made: in this process, or in a worker process with weights of "
      "its own (docs/worker_protocol.md)",
      Choices{"in_process|worker"});
    f("worker_start_s",
      self.worker_start_s,
      "a worker that has not loaded the model by then is replaced, in seconds",
      kPositive);
    f("worker_timeout_s",
      self.worker_timeout_s,
      "a worker that says nothing for so long is replaced, in seconds",
      kPositive);
  }
};

struct RolloutConfig {
  int num_generations = 8;
  int max_prompt_length = 512;
  int max_completion_length = 256;
  float temperature = 1.0f;
  float top_p = 1.0f;
  int top_k = 0;
  float min_p = 0.0f;
  RuleConfig rules;
  std::vector<std::string> stop;
  RoomConfig room;
  EngineConfig engine;
  std::string fallback = "auto";
  int dynamic_sampling = 0;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("num_generations",
      self.num_generations,
      "completions sampled per prompt (G)",
      Range{2, 65536});
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
    RuleConfig::visit(self.rules, f);
    f("stop", self.stop, "strings that end a completion");
    RoomConfig::visit(self.room, f);
    EngineConfig::visit(self.engine, f);
    f("fallback",
      self.fallback,
      "when the student cannot sample, the teacher writes that round (auto: if one "
      "is configured)",
      Choices{"auto|teacher|error"});
    f("dynamic_sampling",
      self.dynamic_sampling,
      "how often, at most, other prompts replace those of a round whose rewards are "
      "all equal",
      kNotNegative);
  }
};

}  // namespace pupil
