#pragma once

#include <optional>
#include <string>

#include "algo/loss_types.h"
#include "algo/methods.h"
#include "base/fields.h"
#include "train/optimizer_config.h"

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
  int decay_steps = 0;
  double min_lr_ratio = 0.1;
  std::string optim = "adamw";
  std::optional<double> adam_beta1, adam_beta2, adam_epsilon;
  std::optional<double> momentum;
  double weight_decay = 0;
  double ema_decay = 0;
  double max_grad_norm = 1.0;
  double max_grad_value = 0;
  std::string loss_scaling = "auto";
  int loss_scale_window = 200;
  std::optional<std::string> loss_type;
  std::optional<std::string> importance_sampling_level;
  std::optional<double> beta;
  std::optional<double> epsilon;
  std::optional<double> epsilon_high;
  std::optional<double> delta;
  std::optional<bool> use_bias_correction_kl;
  std::optional<std::string> kl_estimator;
  std::optional<bool> kl_in_reward;
  bool sync_ref_model = false;
  double ref_model_mixup_alpha = 0.6;
  int ref_model_sync_steps = 512;
  double kl_target = 0;
  double kl_horizon = 10000;
  std::optional<double> off_policy_mask_threshold;
  std::string sampler_correction = "none";
  std::optional<double> sampler_clip_min;
  std::optional<double> sampler_clip_max = 3.0;
  double top_entropy_quantile = 1.0;
  double entropy_coef = 0;
  bool use_adaptive_entropy = false;
  double entropy_coef_min = 0, entropy_coef_max = 1;
  double entropy_coef_delta = 0.005;
  double entropy_target = 0.2;
  double sapo_temperature_pos = 1.0, sapo_temperature_neg = 1.05;
  double vespo_k_pos = 2, vespo_lambda_pos = 3;
  double vespo_k_neg = 3, vespo_lambda_neg = 2;
  double cov_share = 0.0002;
  double clip_cov_low = 1, clip_cov_high = 5;
  double kl_cov_coef = 1;
  double label_smoothing = 0;
  double simpo_gamma = 1.0;
  double desirable_weight = 1, undesirable_weight = 1;
  std::optional<std::string> baseline;
  std::optional<std::string> scale_rewards;
  int num_iterations = 1;
  int steps_per_generation = 1;
  int top_k_samples = 0;
  bool mask_truncated_completions = false;
  int max_tokens_per_microbatch = 4096;
  std::string gradient_checkpointing = "auto";
  double max_logp_difference = 0.05;
  int save_steps = 20;
  int save_total_limit = 3;
  int eval_steps = 0;
  int eval_samples = 8;
  std::string metric_for_best_model = "eval_reward";
  int early_stopping_patience = 0;
  double early_stopping_threshold = 0;

  template <class Self, class F>
  static void visit(Self& self, F&& f) {
    visit_steps(self, f);
    visit_schedule(self, f);
    visit_optimizer(self, f);
    visit_loss(self, f);
    visit_kl(self, f);
    visit_entropy(self, f);
    visit_surrogates(self, f);
    visit_preferences(self, f);
    visit_sampler(self, f);
    visit_checks(self, f);
    visit_evaluations(self, f);
  }

 private:
  template <class Self, class F>
  static void visit_steps(Self& self, F&& f) {
    f("method",
      self.method,
      "preset of the loss settings below; sft, dpo, ipo, simpo and kto learn from the "
      "lines of data.train",
      Choices{kTrainMethods});
    f("max_steps", self.max_steps, "optimizer steps", kNotNegative);
    f("prompts_per_step",
      self.prompts_per_step,
      "prompts drawn for a step",
      kAtLeastOne);
    f("num_iterations",
      self.num_iterations,
      "optimizer steps on one set of samples",
      kAtLeastOne);
    f("steps_per_generation",
      self.steps_per_generation,
      "steps whose prompts are sampled at once, before the first of them",
      kAtLeastOne);
  }

  template <class Self, class F>
  static void visit_schedule(Self& self, F&& f) {
    f("learning_rate", self.learning_rate, "peak learning rate", kNotNegative);
    f("lr_scheduler_type",
      self.lr_scheduler_type,
      "schedule after warm-up",
      Choices{"constant|linear|cosine|cosine_with_min_lr|warmup_stable_decay"});
    f("warmup_steps", self.warmup_steps, "steps of linear warm-up", kNotNegative);
    f("decay_steps",
      self.decay_steps,
      "warmup_stable_decay: last steps, over which the rate falls",
      kNotNegative);
    f("min_lr_ratio",
      self.min_lr_ratio,
      "cosine_with_min_lr, warmup_stable_decay: least rate, of the peak's",
      kUnit);
  }

  template <class Self, class F>
  static void visit_optimizer(Self& self, F&& f) {
    f("optim", self.optim, "optimizer (docs/training.md)", Choices{kOptimNames});
    f("adam_beta1",
      self.adam_beta1,
      "the Adams, lion, muon's vectors; default: 0.9",
      kBelowOne);
    f("adam_beta2", self.adam_beta2, "the same; default: 0.999, lion 0.99", kBelowOne);
    f("adam_epsilon",
      self.adam_epsilon,
      "the Adams, muon's vectors; default: 1e-8",
      kPositive);
    f("momentum", self.momentum, "sgd, muon; default: 0.9, muon 0.95", kBelowOne);
    f("weight_decay",
      self.weight_decay,
      "weight decay, of matrices only; adam, sgd: added to the gradient, the others: "
      "apart from it",
      kNotNegative);
    f("ema_decay",
      self.ema_decay,
      "keep a moving average of what is trained, and evaluate and export that "
      "(docs/training.md); 0: none",
      kBelowOne);
    f("max_grad_norm",
      self.max_grad_norm,
      "clip the global gradient norm to it; 0: never",
      kNotNegative);
    f("max_grad_value",
      self.max_grad_value,
      "before that, clip every number of the gradient to it; 0: never",
      kNotNegative);
    f("loss_scaling",
      self.loss_scaling,
      "scale the loss dynamically, against the underflow of float16 gradients; auto: "
      "of "
      "float16 models (docs/training.md)",
      Choices{"auto|on|off"});
    f("loss_scale_window",
      self.loss_scale_window,
      "steps in a row without overflow after which the scale doubles",
      kAtLeastOne);
  }

  template <class Self, class F>
  static void visit_loss(Self& self, F&& f) {
    f("loss_type",
      self.loss_type,
      "objective of a token and how tokens average",
      Choices{kLossTypeNames});
    f("importance_sampling_level",
      self.importance_sampling_level,
      "over what the policy ratio is taken: a token, the mean of a completion's tokens "
      "or their sum",
      Choices{"token|sequence|sequence_sum"});
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
    f("baseline",
      self.baseline,
      "what is subtracted from a reward",
      Choices{"group|leave_one_out|length_weighted|running|none"});
    f("scale_rewards",
      self.scale_rewards,
      "divide advantages by the standard deviation of; whiten: of the step's tokens, "
      "and centre them",
      Choices{"group|batch|none|whiten"});
    f("top_k_samples",
      self.top_k_samples,
      "learn from the k best completions of a group only (docs/training.md); 0: all",
      kNotNegative);
  }

  template <class Self, class F>
  static void visit_kl(Self& self, F&& f) {
    f("use_bias_correction_kl",
      self.use_bias_correction_kl,
      "multiply the KL estimate in the loss by the policy ratio");
    f("kl_estimator",
      self.kl_estimator,
      "how the KL to the reference is estimated",
      Choices{"k1|k2|k3"});
    f("kl_in_reward",
      self.kl_in_reward,
      "subtract the KL from the rewards instead of adding it to the loss");
    f("sync_ref_model",
      self.sync_ref_model,
      "let the reference follow the policy (docs/training.md)");
    f("ref_model_mixup_alpha",
      self.ref_model_mixup_alpha,
      "the policy's share in the new reference",
      kUnit);
    f("ref_model_sync_steps",
      self.ref_model_sync_steps,
      "steps between two moves of the reference",
      kAtLeastOne);
    f("kl_target",
      self.kl_target,
      "move beta toward this KL, in nats a token; 0: beta stays",
      kNotNegative);
    f("kl_horizon",
      self.kl_horizon,
      "completions over which beta moves by a fifth at most",
      kAtLeastOne);
  }

  template <class Self, class F>
  static void visit_entropy(Self& self, F&& f) {
    f("top_entropy_quantile",
      self.top_entropy_quantile,
      "learn from this share of tokens only, those of the highest entropy",
      kUnit);
    f("entropy_coef", self.entropy_coef, "weight of the entropy bonus", kNotNegative);
    f("use_adaptive_entropy",
      self.use_adaptive_entropy,
      "move entropy_coef toward entropy_target");
    f("entropy_coef_min", self.entropy_coef_min, "its lower bound", kNotNegative);
    f("entropy_coef_max", self.entropy_coef_max, "its upper bound", kNotNegative);
    f("entropy_coef_delta", self.entropy_coef_delta, "its move a step", kNotNegative);
    f("entropy_target",
      self.entropy_target,
      "entropy below which the bonus works, in nats a token",
      kNotNegative);
  }

  // What single loss types have.
  template <class Self, class F>
  static void visit_surrogates(Self& self, F&& f) {
    f("sapo_temperature_pos", self.sapo_temperature_pos, "sapo, A > 0", kPositive);
    f("sapo_temperature_neg", self.sapo_temperature_neg, "sapo, A <= 0", kPositive);
    f("vespo_k_pos", self.vespo_k_pos, "vespo: power of the ratio, A >= 0");
    f("vespo_lambda_pos", self.vespo_lambda_pos, "vespo: decay, A >= 0", kNotNegative);
    f("vespo_k_neg", self.vespo_k_neg, "vespo: power of the ratio, A < 0");
    f("vespo_lambda_neg", self.vespo_lambda_neg, "vespo: decay, A < 0", kNotNegative);
    f("cov_share", self.cov_share, "clip_cov, kl_cov: share of tokens chosen", kUnit);
    f("clip_cov_low", self.clip_cov_low, "clip_cov: least covariance chosen");
    f("clip_cov_high", self.clip_cov_high, "clip_cov: largest covariance chosen");
    f("kl_cov_coef", self.kl_cov_coef, "kl_cov: weight of the penalty", kNotNegative);
  }

  template <class Self, class F>
  static void visit_preferences(Self& self, F&& f) {
    f("label_smoothing",
      self.label_smoothing,
      "dpo, simpo: share of pairs that may be the wrong way round",
      Range{0, 0.5});
    f("simpo_gamma", self.simpo_gamma, "simpo: margin asked for", kNotNegative);
    f("desirable_weight", self.desirable_weight, "kto: of good ones", kNotNegative);
    f("undesirable_weight", self.undesirable_weight, "kto: of bad ones", kNotNegative);
  }

  // The distance of sampler and trainer.
  template <class Self, class F>
  static void visit_sampler(Self& self, F&& f) {
    f("off_policy_mask_threshold",
      self.off_policy_mask_threshold,
      "leave out completions with A < 0 whose log p fell by more since they were "
      "sampled, in nats a token");
    f("sampler_correction",
      self.sampler_correction,
      "weight by trainer's / sampler's probability, of a token or a whole sequence; "
      "out of bounds: the bound (truncate) or 0 (mask)",
      Choices{"none|token_truncate|token_mask|sequence_truncate|sequence_mask"});
    f("sampler_clip_min",
      self.sampler_clip_min,
      "its lower bound; default: none",
      kNotNegative);
    f("sampler_clip_max",
      self.sampler_clip_max,
      "its upper bound; null: none",
      kPositive);
    f("max_logp_difference",
      self.max_logp_difference,
      "stop if trainer and sampler differ by more, in nats (mean over tokens)",
      kPositive);
  }

  template <class Self, class F>
  static void visit_checks(Self& self, F&& f) {
    f("mask_truncated_completions",
      self.mask_truncated_completions,
      "leave completions that hit the length limit out of the loss");
    f("max_tokens_per_microbatch",
      self.max_tokens_per_microbatch,
      "memory bound of one forward and backward pass; auto or 0: as many as memory has "
      "room for at the start, which the run's config.yaml then says",
      Range{.min = 0, .zero = "auto"});
    f("gradient_checkpointing",
      self.gradient_checkpointing,
      "compute blocks again in the backward pass: a third more work, the same "
      "gradient, "
      "far less memory; auto: where activations would fill half of the free memory",
      Choices{"auto|on|off"});
    f("save_steps", self.save_steps, "steps between checkpoints", kAtLeastOne);
    f("save_total_limit",
      self.save_total_limit,
      "newest checkpoints kept, besides the best",
      kAtLeastOne);
  }

  template <class Self, class F>
  static void visit_evaluations(Self& self, F&& f) {
    f("eval_steps",
      self.eval_steps,
      "steps between held-out evaluations; 0: before and after only",
      kNotNegative);
    f("eval_samples", self.eval_samples, "completions per held-out task", kAtLeastOne);
    f("metric_for_best_model",
      self.metric_for_best_model,
      "number of an evaluation that says which checkpoint is best; larger is better");
    f("early_stopping_patience",
      self.early_stopping_patience,
      "stop after so many evaluations in a row without a better one; 0: never",
      kNotNegative);
    f("early_stopping_threshold",
      self.early_stopping_threshold,
      "by how much the best must be passed to count as better",
      kNotNegative);
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
