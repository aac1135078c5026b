#include "train/learner.h"

#include <cmath>
#include <numeric>

#include "models/attend.h"
#include "models/lora.h"
#include "ops/token_entropy.h"
#include "ops/token_logprobs.h"

namespace pupil {

namespace {

// Values of the M tokens back in their places, 0 elsewhere. [M] -> [N, T]
mx::array spread(const mx::array& values, const mx::array& slots) {
  auto padded = mx::concatenate({values, mx::zeros({1}, values.dtype())}, 0);
  return mx::take(padded, slots, 0);
}

mx::array old_logprobs_of(const Microbatch& batch, const mx::array& logprobs) {
  auto now = mx::stop_gradient(logprobs);
  if (!batch.old_logprobs) return now;
  return mx::where(batch.likelihood, now, *batch.old_logprobs);
}

// Mean distance to the sampler of each row. [N]
std::vector<float> row_differences(const Microbatch& batch, const mx::array& logprobs) {
  auto known = mx::astype(mx::isfinite(batch.sampler_logprobs), mx::float32);
  auto difference = mx::where(
      mx::isfinite(batch.sampler_logprobs),
      mx::abs(logprobs - batch.sampler_logprobs),
      mx::array(0.0f));
  auto mean = mx::sum(difference, 1) / mx::sum(known, 1);  // 0 / 0 is NaN: unknown
  mean.eval();
  return {mean.data<float>(), mean.data<float>() + mean.size()};
}

}  // namespace

CompletionLogprobs completion_logprobs(
    const Decoder& model,
    const Microbatch& batch,
    float temperature,
    bool entropy_gradient) {
  // Tokens of the loss only, never padding.
  auto hidden = completion_hidden(
      model, batch.prompt, batch.completions, batch.lengths);  // [M, D]
  auto targets = mx::take(mx::reshape(batch.completions, {-1}), batch.positions, 0);
  auto head = [&](const mx::array& h) { return model.head(h); };
  auto [logprobs, entropy] = token_logprobs(hidden, targets, head, temperature);
  if (entropy_gradient) {
    // Asked again in the backward pass, when the caller's model may be gone: a copy.
    auto kept_head = [model](const mx::array& h) { return model.head(h); };
    entropy = token_entropy(hidden, kept_head, temperature);
  }
  return {spread(logprobs, batch.slots), spread(entropy, batch.slots)};
}

Learner::Learner(Decoder& model, const LearnerConfig& config)
    : model_(model),
      config_(config),
      paths_(select_paths(model, is_lora)),
      params_(select_parameters(model, is_lora)),
      optimizer_(params_, config.optimizer) {
  if (params_.empty()) {
    throw std::invalid_argument("[learner] the model has no adapter to train");
  }
}

PolicyLossInputs Learner::loss_inputs(
    const Microbatch& batch,
    const mx::array& logprobs,
    const mx::array& entropy) const {
  PolicyLossInputs in{
      logprobs,
      old_logprobs_of(batch, logprobs),
      batch.ref_logprobs,
      batch.advantages,
      batch.mask,
      entropy,
      batch.sampler_logprobs};
  in.selected = batch.selected.value_or(mx::zeros_like(batch.mask));
  if (config_.correction) {
    in.importance = sampler_importance(
        in.old_logprobs, batch.sampler_logprobs, batch.mask, *config_.correction);
  }
  return in;
}

// {loss, logprobs, entropy, ratio, kl, phi}; only the first is differentiated.
std::vector<mx::array> Learner::loss_and_parts(
    const Decoder& model, const Microbatch& batch, const StepTotals& totals) const {
  auto [logprobs, entropy] = completion_logprobs(
      model, batch, config_.temperature, config_.loss.entropy_coef != 0);
  auto loss = policy_loss(loss_inputs(batch, logprobs, entropy), config_.loss, totals);
  auto kl = loss.kl ? *loss.kl : mx::zeros_like(batch.mask);
  auto phi = loss.phi ? *loss.phi : mx::zeros({batch.mask.shape(0), 1});
  return {loss.loss, logprobs, entropy, loss.ratio, kl, phi};
}

PolicyMetrics Learner::metrics_of(
    const Microbatch& batch, const std::vector<mx::array>& parts) const {
  auto in = loss_inputs(batch, parts[1], parts[2]);
  PolicyLoss loss{parts[0], parts[3], parts[4], parts[5]};
  auto metrics = measure(in, loss, config_.loss, parts[2], batch.sampler_logprobs);
  if (in.importance) {
    add_importance(
        metrics, *in.importance, batch.mask, config_.correction->by_sequence());
  }
  return metrics;
}

void Learner::fill_reference(Microbatch& batch) const {
  if (config_.loss.beta == 0 || batch.ref_logprobs) return;
  batch.ref_logprobs = reference_logprobs(batch);
}

void Learner::fill_old_logprobs(Microbatch& batch) const {
  batch.old_logprobs = logprobs(batch).logprobs;
}

CompletionLogprobs Learner::logprobs(const Microbatch& batch) const {
  auto result = completion_logprobs(model_, batch, config_.temperature);
  mx::eval(result.logprobs, result.entropy);
  return result;
}

mx::array Learner::reference_logprobs(const Microbatch& batch) const {
  auto reference = without_lora(model_);
  auto logprobs = completion_logprobs(reference, batch, config_.temperature).logprobs;
  logprobs.eval();
  return logprobs;
}

MicrobatchResult Learner::forward_backward(
    Microbatch& batch, const StepTotals& totals) {
  fill_reference(batch);
  auto run = [&](const std::vector<mx::array>& params) {
    Decoder model = model_;  // copies handles, not tensors
    assign_parameters(model, params, is_lora);
    return loss_and_parts(model, batch, totals);
  };
  std::vector<int> argnums(params_.size());
  std::iota(argnums.begin(), argnums.end(), 0);
  std::function<std::vector<mx::array>(const std::vector<mx::array>&)> fn = run;
  auto [parts, grads] = mx::value_and_grad(fn, argnums)(params_);
  for (size_t i = 0; i < grads_.size(); ++i) grads[i] = grads_[i] + grads[i];
  // One pass over the graph; its activations are free when it ends.
  auto outputs = parts;
  outputs.insert(outputs.end(), grads.begin(), grads.end());
  mx::eval(outputs);

  MicrobatchResult result;
  result.loss = parts[0].item<float>();
  if (!std::isfinite(result.loss)) throw NotFinite("the loss is not finite");
  grads_ = std::move(grads);
  result.metrics = metrics_of(batch, parts);
  result.logp_differences =
      row_differences(batch, batch.old_logprobs.value_or(parts[1]));
  if (config_.reuse_samples && !batch.old_logprobs) batch.old_logprobs = parts[1];
  return result;
}

float Learner::optim_step(double learning_rate) {
  float norm = global_norm(grads_);
  if (!std::isfinite(norm)) {
    grads_.clear();
    throw NotFinite("the gradient is not finite");
  }
  float clipped_norm = norm;
  if (config_.max_grad_value > 0) {
    auto most = mx::array(static_cast<float>(config_.max_grad_value));
    for (auto& grad : grads_) grad = mx::clip(grad, -most, most);
    clipped_norm = global_norm(grads_);
  }
  double scale = clip_scale(clipped_norm, config_.max_grad_norm);
  optimizer_.update(params_, std::move(grads_), learning_rate, scale);
  grads_.clear();
  assign_parameters(model_, params_, is_lora);
  return norm;
}

void Learner::restore(
    std::vector<mx::array> params,
    std::vector<mx::array> first_moments,
    std::vector<mx::array> second_moments,
    int optimizer_step) {
  for (size_t i = 0; i < params_.size(); ++i) {
    for (const auto* arrays : {&params, &first_moments, &second_moments}) {
      if (arrays->at(i).shape() == params_[i].shape()) continue;
      throw std::invalid_argument(
          "[checkpoint] " + paths_[i] + " has another shape than the model's");
    }
  }
  optimizer_.restore(
      std::move(first_moments), std::move(second_moments), optimizer_step);
  params_ = std::move(params);
  assign_parameters(model_, params_, is_lora);
}

}  // namespace pupil
