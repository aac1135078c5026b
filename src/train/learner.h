#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "algo/policy_metrics.h"
#include "algo/preference_loss.h"
#include "algo/sampler_correction.h"
#include "models/decoder.h"
#include "train/batch.h"
#include "train/loss_scale.h"
#include "train/optimizer.h"

namespace pupil {

/// A loss or gradient that is not a finite number. Weights and moments are as they
/// were.
struct NotFinite : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct LearnerConfig {
  PolicyLossConfig loss = {};
  std::optional<SamplerCorrection> correction = {};
  std::optional<PreferenceConfig> preference = {};  // instead of `loss`
  float temperature = 1.0f;  // the sampler's: logits are divided by it here too
  bool reuse_samples =
      false;  // several optimizer steps on one batch: keep old_logprobs
  OptimizerConfig optimizer = {};
  double ema_decay = 0;       // of the average of the trained arrays; 0: there is none
  uint64_t dropout_seed = 0;  // of the run
  // Whether the reference is ever asked for. Of full fine-tuning it is the weights as
  // they were at first, which are kept then.
  bool has_reference = true;
  // A reference of its own, which does not move; null: the student without its adapter,
  // or with `starts_as_reference` under its adapter as it is at first.
  std::shared_ptr<const Decoder> reference = {};
  bool starts_as_reference = false;
  std::optional<bool> loss_scaling = {};  // none: of float16 models
  int loss_scale_window = 200;
  double max_grad_norm = 1.0;   // 0: never clip
  double max_grad_value = 0.0;  // 0: never clip; before the norm
  // Whether blocks are computed again in the backward pass; none: where a microbatch
  // would keep more than `activation_budget` bytes.
  std::optional<bool> gradient_checkpointing = {};
  int64_t activation_budget = std::numeric_limits<int64_t>::max();
};

struct MicrobatchResult {
  double loss = 0;         // its share of the step's loss
  double policy_loss = 0;  // of it, without KL term and entropy bonus
  PolicyMetrics metrics;
  PreferenceMetrics preference;
  std::vector<float> logp_differences;  // [N] mean |trainer - sampler|, NaN: unknown
};

/// log p of each completion token and the entropy there, both [N, T], 0 where masked.
struct CompletionLogprobs {
  mx::array logprobs;
  mx::array entropy;
};
/// Gradient through the entropy only with `entropy_gradient`, which costs a second pass
/// of the head.
CompletionLogprobs completion_logprobs(
    const Decoder& model,
    const Microbatch& batch,
    float temperature,
    bool entropy_gradient = false);

/// Owns what training changes: the adapter's arrays or the weights (models/lora.h),
/// their accumulated gradient, the optimizer's state, their average where it is asked
/// for, and the reference where it moves. One thread. The model must outlive it.
class Learner {
 public:
  Learner(Decoder& model, const LearnerConfig& config);

  /// Adds this microbatch's gradient. The first time, fills in the reference's
  /// log-probabilities if `beta` > 0, and the policy's own as
  /// `old_logprobs` if samples are reused; until then the ratio is 1.
  /// Rows that the student did not sample always have ratio 1, which makes their part
  /// of the loss -A log p: advantage-weighted likelihood.
  /// Throws NotFinite.
  MicrobatchResult forward_backward(Microbatch& batch, const StepTotals& totals);

  /// Clips, numbers first and then the norm, steps the optimizer, clears the gradient
  /// and writes the arrays back into the model. Returns the gradient's norm before
  /// clipping. Under loss scaling a norm that is not finite says that the gradient
  /// overflowed: the scale is halved, and all else is as it was. Throws NotFinite where
  /// the scale is 1 or there is none.
  float optim_step(double learning_rate);

  /// Moves the reference toward the policy, TRL's sync_ref_model: every adapter array
  /// is alpha times the policy's plus 1 - alpha times the reference's. Before the first
  /// time that is the adapter whose B is 0, or as it was at first where that is the
  /// reference. With LoRA the factors are mixed, not their
  /// product.
  void sync_reference(double alpha);

  /// Weights of the loss that move from step to step.
  void set_beta(double beta) { config_.loss.beta = beta; }
  void set_entropy_coef(double coef) { config_.loss.entropy_coef = coef; }
  const PolicyLossConfig& loss() const { return config_.loss; }
  /// What a step is, of a caller that says so with each.
  void set_step(const PolicyLossConfig& loss, float temperature, double max_grad_norm) {
    config_.loss = loss;
    config_.temperature = temperature;
    config_.max_grad_norm = max_grad_norm;
  }
  /// None: the loss is not scaled.
  const std::optional<LossScale>& loss_scale() const { return loss_scale_; }
  void set_loss_scale(const LossScale& scale) { loss_scale_ = scale; }
  /// After a gradient that overflowed. False: the scale cannot be to blame.
  bool lower_loss_scale() { return loss_scale_ && loss_scale_->lower(); }
  const std::optional<PreferenceConfig>& preference() const {
    return config_.preference;
  }

  /// The policy as it is becomes the one that sampled the batch: for batches whose
  /// first step is not the first since.
  void fill_old_logprobs(Microbatch& batch) const;

  /// Of the policy as it is, and of the reference (adapter off, adapter or weights as
  /// they were at first, or as last synchronised). No gradient, and no dropout.
  CompletionLogprobs logprobs(const Microbatch& batch) const;
  mx::array reference_logprobs(const Microbatch& batch) const;  // [N, T]

  /// The gradient accumulated so far, in the order of `params`, and its norm.
  const std::vector<mx::array>& gradient() const { return grads_; }
  float gradient_norm() const { return global_norm(grads_); }
  void clear_gradient();

  /// The trainable arrays and their paths in the model, in one order.
  const std::vector<mx::array>& params() const { return params_; }
  const std::vector<std::string>& paths() const { return paths_; }
  const Optimizer& optimizer() const { return optimizer_; }
  /// Bytes that a step takes beside the weights: the gradient, the sum that it joins,
  /// and the state.
  int64_t update_bytes() const;

  /// What the run hands out: the moving average of `params` where `ema_decay` is set,
  /// else `params`.
  const std::vector<mx::array>& exported() const;
  /// Puts `exported` in the model, or `params` back: around an evaluation.
  void show_exported(bool show);

  /// What a resumed run needs beside `params`: the optimizer's state, "ema" where there
  /// is an average, and "reference" where it has moved.
  ArrayKinds state() const;

  /// Sets arrays and state from a checkpoint. Throws std::invalid_argument if a kind is
  /// missing or unknown, or a shape differs.
  void restore(std::vector<mx::array> params, ArrayKinds state, int optimizer_step);

 private:
  PolicyLossInputs loss_inputs(
      const Microbatch& batch,
      const mx::array& logprobs,
      const mx::array& entropy) const;
  double bare_loss(
      const Microbatch& batch,
      const std::vector<mx::array>& parts,
      const StepTotals& totals) const;
  PolicyMetrics metrics_of(
      const Microbatch& batch, const std::vector<mx::array>& parts) const;
  std::vector<mx::array> loss_and_parts(
      const Decoder& model, const Microbatch& batch, const StepTotals& totals) const;
  MicrobatchResult result_of(
      const Microbatch& batch,
      const std::vector<mx::array>& parts,
      const StepTotals& totals) const;
  bool needs_reference() const;
  Decoder reference() const;
  void fill_reference(Microbatch& batch) const;
  bool recomputes(const Microbatch& batch) const;
  void update_average();

  Decoder& model_;
  LearnerConfig config_;
  std::vector<std::string> paths_;
  std::vector<mx::array> params_, grads_;
  std::vector<mx::array> average_;    // empty: there is none
  std::vector<mx::array> first_;      // that are the reference; empty: not kept
  std::vector<mx::array> reference_;  // as it moved; empty: `first_`, or no adapter
  uint64_t microbatch_ = 0;           // of this step
  std::optional<LossScale> loss_scale_;
  Optimizer optimizer_;
};

}  // namespace pupil
