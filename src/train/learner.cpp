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

// The adapter that changes nothing. B is 0, and so it does not matter what A is.
std::vector<mx::array> silent_adapter(
    const std::vector<mx::array>& params, const std::vector<std::string>& paths) {
  auto arrays = params;
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (paths[i].ends_with("lora_b")) arrays[i] = mx::zeros_like(arrays[i]);
  }
  return arrays;
}

// The arrays of a kind that may be missing: then none.
std::vector<mx::array> taken(ArrayKinds& kinds, const std::string& kind) {
  auto found = kinds.extract(kind);
  return found.empty() ? std::vector<mx::array>() : std::move(found.mapped());
}

void expect_shapes_of(
    const std::vector<mx::array>& expected,
    const std::vector<mx::array>& arrays,
    const std::vector<std::string>& paths) {
  for (size_t i = 0; i < expected.size(); ++i) {
    if (arrays.at(i).shape() == expected[i].shape()) continue;
    throw std::invalid_argument(
        "[checkpoint] " + paths[i] + " has another shape than the model's");
  }
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

// {loss, logprobs, entropy, ratio, kl, phi}; only the first is differentiated. Of a
// preference {loss, logprobs, entropy, rewards}.
std::vector<mx::array> Learner::loss_and_parts(
    const Decoder& model, const Microbatch& batch, const StepTotals& totals) const {
  auto [logprobs, entropy] = completion_logprobs(
      model, batch, config_.temperature, config_.loss.entropy_coef != 0);
  if (config_.preference) {
    PreferenceInputs in{logprobs, batch.ref_logprobs, batch.advantages, batch.mask};
    auto loss = preference_loss(in, *config_.preference, totals);
    return {loss.loss, logprobs, entropy, loss.rewards};
  }
  auto loss = policy_loss(loss_inputs(batch, logprobs, entropy), config_.loss, totals);
  auto kl = loss.kl ? *loss.kl : mx::zeros_like(batch.mask);
  auto phi = loss.phi ? *loss.phi : mx::zeros({batch.mask.shape(0), 1});
  return {loss.loss, logprobs, entropy, loss.ratio, kl, phi};
}

MicrobatchResult Learner::result_of(
    const Microbatch& batch, const std::vector<mx::array>& parts) const {
  MicrobatchResult result;
  result.loss = parts[0].item<float>();
  result.metrics = metrics_of(batch, parts);
  result.logp_differences =
      row_differences(batch, batch.old_logprobs.value_or(parts[1]));
  if (config_.preference) {
    PreferenceInputs in{parts[1], batch.ref_logprobs, batch.advantages, batch.mask};
    result.preference =
        measure_preference(in, {parts[0], parts[3]}, config_.preference->has_pairs());
  }
  return result;
}

PolicyMetrics Learner::metrics_of(
    const Microbatch& batch, const std::vector<mx::array>& parts) const {
  auto in = loss_inputs(batch, parts[1], parts[2]);
  PolicyLoss loss{parts[0], batch.mask, {}, {}};  // a preference has no ratio
  if (!config_.preference) loss = {parts[0], parts[3], parts[4], parts[5]};
  auto metrics = measure(in, loss, config_.loss, parts[2], batch.sampler_logprobs);
  if (in.importance) {
    add_importance(
        metrics, *in.importance, batch.mask, config_.correction->by_sequence());
  }
  return metrics;
}

bool Learner::needs_reference() const {
  if (config_.preference) return config_.preference->needs_reference();
  return config_.loss.beta != 0;
}

Decoder Learner::reference() const {
  if (reference_.empty()) return without_lora(model_);
  Decoder model = model_;
  assign_parameters(model, reference_, is_lora);
  return model;
}

void Learner::fill_reference(Microbatch& batch) const {
  if (!needs_reference() || batch.ref_logprobs) return;
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
  auto logprobs = completion_logprobs(reference(), batch, config_.temperature).logprobs;
  logprobs.eval();
  return logprobs;
}

bool Learner::recomputes(const Microbatch& batch) const {
  if (config_.gradient_checkpointing) return *config_.gradient_checkpointing;
  auto tokens = static_cast<int64_t>(batch.prompt.size() + batch.positions.size());
  return tokens * model_.kept_bytes_per_token() > config_.activation_budget;
}

MicrobatchResult Learner::forward_backward(
    Microbatch& batch, const StepTotals& totals) {
  fill_reference(batch);
  auto run = [&](const std::vector<mx::array>& params) {
    Decoder model = model_;  // copies handles, not tensors
    model.recompute_blocks = recomputes(batch);
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

  if (!mx::isfinite(parts[0]).item<bool>()) throw NotFinite("the loss is not finite");
  grads_ = std::move(grads);
  auto result = result_of(batch, parts);
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

void Learner::sync_reference(double alpha) {
  auto a = mx::array(static_cast<float>(alpha));
  auto rest = mx::array(static_cast<float>(1 - alpha));
  if (reference_.empty()) reference_ = silent_adapter(params_, paths_);
  for (size_t i = 0; i < params_.size(); ++i) {
    reference_[i] = a * params_[i] + rest * reference_[i];
  }
  mx::eval(reference_);
}

ArrayKinds Learner::state() const {
  ArrayKinds kinds = optimizer_.state();
  if (!reference_.empty()) kinds["reference"] = reference_;
  return kinds;
}

void Learner::restore(
    std::vector<mx::array> params, ArrayKinds state, int optimizer_step) {
  expect_shapes_of(params_, params, paths_);
  auto reference = taken(state, "reference");
  if (!reference.empty()) expect_shapes_of(params_, reference, paths_);
  optimizer_.restore(std::move(state), optimizer_step);
  reference_ = std::move(reference);
  params_ = std::move(params);
  assign_parameters(model_, params_, is_lora);
}

}  // namespace pupil
