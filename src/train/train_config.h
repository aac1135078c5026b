#pragma once

#include <optional>
#include <string>

#include "base/fields.h"

namespace pupil {

/// Names are TRL's. A field left unset takes the value of `method`'s row in
/// algo/methods.h.
struct TrainConfig {
  std::string method = "grpo";
  int max_steps = 100;
  int prompts_per_step = 4;
  double learning_rate = 1e-5;
  std::string lr_scheduler_type = "constant";
  int warmup_steps = 0;
  std::string optim = "adamw";
  double weight_decay = 0;
  double max_grad_norm = 1.0;
  std::optional<std::string> loss_type;
  std::optional<std::string> importance_sampling_level;
  std::optional<double> beta;
  std::optional<double> epsilon;
  std::optional<double> epsilon_high;
  std::optional<double> delta;
  bool use_bias_correction_kl = true;
  std::optional<std::string> scale_rewards;
  int num_iterations = 1;
  bool mask_truncated_completions = false;
  int max_tokens_per_microbatch = 4096;
  double max_logp_difference = 0.05;
  int save_steps = 20;
  int save_total_limit = 3;
  int eval_steps = 0;
  int eval_samples = 8;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    visit_steps(self, f);
    visit_loss(self, f);
    visit_checks(self, f);
  }

 private:
  template <class Self, class F>
  static void visit_steps(Self& self, F&& f) {
    f("method",
      self.method,
      "preset of the loss settings below",
      Choices{"grpo|dr_grpo|dapo|gspo"});
    f("max_steps", self.max_steps, "optimizer steps", kNotNegative);
    f("prompts_per_step",
      self.prompts_per_step,
      "prompts drawn for a step",
      kAtLeastOne);
    f("learning_rate", self.learning_rate, "peak learning rate", kNotNegative);
    f("lr_scheduler_type",
      self.lr_scheduler_type,
      "schedule after warm-up",
      Choices{"constant|linear|cosine"});
    f("warmup_steps", self.warmup_steps, "steps of linear warm-up", kNotNegative);
    f("optim", self.optim, "optimizer", Choices{"adamw"});
    f("weight_decay", self.weight_decay, "decoupled weight decay", kNotNegative);
    f("max_grad_norm",
      self.max_grad_norm,
      "clip the global gradient norm to it; 0: never",
      kNotNegative);
  }

  template <class Self, class F>
  static void visit_loss(Self& self, F&& f) {
    f("loss_type",
      self.loss_type,
      "how token losses average",
      Choices{"grpo|dr_grpo|dapo|bnpo"});
    f("importance_sampling_level",
      self.importance_sampling_level,
      "over what the policy ratio is taken",
      Choices{"token|sequence"});
    f("beta",
      self.beta,
      "weight of the KL to the reference; 0 computes none",
      kNotNegative);
    f("epsilon", self.epsilon, "the ratio is kept above 1 - epsilon", kNotNegative);
    f("epsilon_high",
      self.epsilon_high,
      "the ratio is kept below 1 + epsilon_high",
      kNotNegative);
    f("delta",
      self.delta,
      "cap of the unclipped ratio, above 1 + epsilon_high; default: none",
      kPositive);
    f("use_bias_correction_kl",
      self.use_bias_correction_kl,
      "multiply the KL estimate by the policy ratio");
    f("scale_rewards",
      self.scale_rewards,
      "divide advantages by the standard deviation of",
      Choices{"group|batch|none"});
    f("num_iterations",
      self.num_iterations,
      "optimizer steps on one set of samples",
      kAtLeastOne);
  }

  template <class Self, class F>
  static void visit_checks(Self& self, F&& f) {
    f("mask_truncated_completions",
      self.mask_truncated_completions,
      "leave completions that hit the length limit out of the loss");
    f("max_tokens_per_microbatch",
      self.max_tokens_per_microbatch,
      "memory bound of one forward and backward pass",
      kAtLeastOne);
    f("max_logp_difference",
      self.max_logp_difference,
      "stop if trainer and sampler differ by more, in nats (mean over tokens)",
      kPositive);
    f("save_steps", self.save_steps, "steps between checkpoints", kAtLeastOne);
    f("save_total_limit", self.save_total_limit, "checkpoints kept", kAtLeastOne);
    f("eval_steps",
      self.eval_steps,
      "steps between held-out evaluations; 0: before and after only",
      kNotNegative);
    f("eval_samples", self.eval_samples, "completions per held-out task", kAtLeastOne);
  }
};

struct LoggingConfig {
  std::optional<std::string> run_dir;
  int logging_steps = 1;
  bool tensorboard = true;
  bool log_completions = true;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    f("run_dir",
      self.run_dir,
      "where everything is written; default: runs/<date-time>");
    f("logging_steps", self.logging_steps, "steps between printed lines", kAtLeastOne);
    f("tensorboard", self.tensorboard, "write TensorBoard event files");
    f("log_completions",
      self.log_completions,
      "write every completion to rollouts.jsonl");
  }
};

}  // namespace pupil
