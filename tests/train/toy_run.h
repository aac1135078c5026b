// A whole training run on the tiny model: prompts are numbers, a sampler in a few
// lines, and a reward for even tokens.

#pragma once

#include <filesystem>
#include <functional>

#include "base/random.h"
#include "models/attend.h"
#include "models/lora.h"
#include "ops/token_logprobs.h"
#include "support/tiny_model.h"
#include "train/loss_settings.h"
#include "train/trainer.h"

namespace pupil::testing {

inline constexpr int kToyLength = 5;

/// Samples `n` completions at temperature 1, each token by its own key.
inline std::vector<Completion> toy_sample(
    const Decoder& model, const Prompt& prompt, int n) {
  std::vector<Completion> rows(n);
  for (int t = 0; t < kToyLength; ++t) {
    std::vector<int> flat;
    for (const auto& row : rows) {
      flat.insert(flat.end(), prompt.tokens.begin(), prompt.tokens.end());
      flat.insert(flat.end(), row.tokens.begin(), row.tokens.end());
    }
    int length = static_cast<int>(flat.size()) / n;
    auto hidden =
        sequence_hidden(model, mx::array(flat.data(), {n, length}, mx::int32));
    auto last = mx::take(hidden, length - 1, 1);  // [n, D]
    auto logits = model.head(last);
    auto cumulative = mx::cumsum(mx::softmax(logits, -1, true), 1);
    std::vector<float> uniforms;
    for (int i = 0; i < n; ++i) {
      uniforms.push_back(keyed_uniform({prompt.key, uint64_t(i), uint64_t(t)}));
    }
    auto below = cumulative <= mx::array(uniforms.data(), {n, 1}, mx::float32);
    auto tokens = mx::minimum(
        mx::sum(mx::astype(below, mx::int32), 1), mx::array(logits.shape(1) - 1));
    auto logprobs = logprobs_of(logits, tokens, 1.0f);
    mx::eval(tokens, logprobs);
    for (int i = 0; i < n; ++i) {
      rows[i].tokens.push_back(tokens.data<int>()[i]);
      rows[i].logprobs.push_back(logprobs.data<float>()[i]);
    }
  }
  return rows;
}

inline void toy_score(std::span<RolloutGroup> groups, const OnScored& = {}) {
  for (auto& group : groups) {
    for (auto& rollout : group.rollouts) {
      double even = 0;
      for (int token : rollout.completion.tokens) even += token % 2 == 0;
      rollout.scores = {{even / kToyLength, ""}};
      rollout.reward = rollout.scores[0].value;
    }
  }
}

/// Model, learner and stages of one process; make a second one to resume.
struct ToyRun {
  Decoder model;
  std::optional<Learner> learner;
  Stages stages;
  TrainerConfig config;
  TrainerHooks hooks;

  explicit ToyRun(TrainConfig train, Decoder start = tiny_decoder())
      : model(std::move(start)) {
    attach_lora(model, {.rank = 4, .scale = 2.0f}, 1);
    config.train = resolve_method(train);
    config.num_generations = 6;
    config.batch.top_k_samples = train.top_k_samples;
    auto preference = preference_config(config.train);
    config.batch.pairs = preference && preference->has_pairs();
    config.batch.max_completion_length = kToyLength;
    config.batch.max_tokens = 30;
    LearnerConfig learning;
    learning.loss = policy_loss_config(config.train);
    learning.preference = preference;
    learning.reuse_samples = train.num_iterations > 1;
    learning.optimizer = optimizer_config(config.train);
    learning.loss_scale_window = train.loss_scale_window;
    learning.ema_decay = train.ema_decay;
    learner.emplace(model, learning);
    stages.reward_names = {"even"};
    stages.score = toy_score;
    stages.draw = [](uint64_t drawn, size_t count, const TaskRecords&) {
      std::vector<RolloutGroup> groups(count);
      for (uint64_t i = 0; i < count; ++i) {
        int first = static_cast<int>((drawn + i) % 4);
        groups[i].prompt = {{first, 10 + first, 20 + first}, drawn + i};
        groups[i].task.id = "toy/" + std::to_string(first);
      }
      return groups;
    };
    stages.generate =
        [this](std::span<RolloutGroup> groups, int n, const SamplingEvents&) {
          for (auto& group : groups) {
            group.rollouts.resize(n);
            auto rows = toy_sample(model, group.prompt, n);
            for (int i = 0; i < n; ++i) group.rollouts[i].completion = rows[i];
          }
        };
  }

  /// Runs in `dir`, resuming if asked to.
  void run(const std::filesystem::path& dir, bool resume = false) {
    RunDir run(dir, resume, "{}\n");
    if (!resume) run.write("config.yaml", "train: {}\n");
    Trainer trainer(*learner, stages, run, config, hooks);
    if (resume) trainer.resume();
    trainer.run();
  }
};

inline TrainConfig toy_config(int max_steps) {
  TrainConfig train;
  train.max_steps = max_steps;
  train.prompts_per_step = 2;
  train.learning_rate = 1e-2;
  train.save_steps = 2;
  return train;
}

}  // namespace pupil::testing
