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
std::vector<mx::array> silent_adapter(Decoder model) {
  for_each_adapter(model, [](const std::string&, std::optional<Lora>& lora) {
    if (!lora) return;
    lora->b = mx::zeros_like(lora->b);
    auto& magnitude = lora->magnitude;
    if (magnitude) magnitude->m = magnitude->own_norm;
  });
  return trained_arrays(model);
}

std::optional<LossScale> loss_scale_of(
    const LearnerConfig& config, const Decoder& model) {
  bool scales = config.loss_scaling.value_or(model.dtype == mx::float16);
  if (!scales) return std::nullopt;
  LossScale scale;
  scale.window = config.loss_scale_window;
  return scale;
}

// Exact, as the scale is a power of two.
void unscale(mx::array& loss, std::vector<mx::array>& grads, float scale) {
  loss = loss * mx::array(1 / scale);
  for (auto& grad : grads) grad = grad * mx::array(1 / scale, grad.dtype());
}

bool is_whole(const Decoder& model) {
  return !model.trained_weights.empty();
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
      paths_(trained_paths(model)),
      params_(trained_arrays(model)),
      loss_scale_(loss_scale_of(config, model)),
      optimizer_(params_, config.optimizer) {
  if (params_.empty()) {
    throw std::invalid_argument("[learner] the model has no adapter to train");
  }
  if (config.ema_decay > 0) average_ = params_;
  bool is_first = is_whole(model) || config.starts_as_reference;
  if (is_first && config.has_reference && !config.reference) first_ = params_;
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

double Learner::bare_loss(
    const Microbatch& batch,
    const std::vector<mx::array>& parts,
    const StepTotals& totals) const {
  auto config = config_.loss;
  if (config_.preference || (config.beta == 0 && config.entropy_coef == 0))
    return parts[0].item<float>();
  config.beta = config.entropy_coef = 0;
  auto in = loss_inputs(batch, parts[1], parts[2]);
  return policy_loss(in, config, totals).loss.item<float>();
}

MicrobatchResult Learner::result_of(
    const Microbatch& batch,
    const std::vector<mx::array>& parts,
    const StepTotals& totals) const {
  MicrobatchResult result;
  result.loss = parts[0].item<float>();
  result.policy_loss = bare_loss(batch, parts, totals);
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
  if (config_.reference) return *config_.reference;
  if (is_whole(model_) && first_.empty())
    throw std::logic_error("[learner] the reference was said never to be asked for");
  if (reference_.empty() && first_.empty()) return without_lora(model_);
  Decoder model = model_;
  assign_trained(model, reference_.empty() ? first_ : reference_);
  update_norms(model);
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

int64_t Learner::update_bytes() const {
  size_t bytes = 0;
  for (const auto& param : params_) bytes += 2 * param.nbytes();
  for (const auto& [kind, arrays] : state()) {
    for (const auto& array : arrays) bytes += array.nbytes();
  }
  return static_cast<int64_t>(bytes);
}

bool Learner::recomputes(const Microbatch& batch) const {
  if (config_.gradient_checkpointing) return *config_.gradient_checkpointing;
  auto tokens = static_cast<int64_t>(batch.prompt.size() + batch.positions.size());
  return tokens * model_.kept_bytes_per_token() > config_.activation_budget;
}

MicrobatchResult Learner::forward_backward(
    Microbatch& batch, const StepTotals& totals) {
  fill_reference(batch);
  float scale = loss_scale_ ? static_cast<float>(loss_scale_->scale) : 1.0f;
  auto run = [&](const std::vector<mx::array>& params) {
    Decoder model = model_;  // copies handles, not tensors
    model.recompute_blocks = recomputes(batch);
    assign_trained(model, params);
    auto step = static_cast<uint64_t>(optimizer_.step());
    set_dropout_keys(model, {config_.dropout_seed, step, microbatch_});
    auto parts = loss_and_parts(model, batch, totals);
    if (scale != 1) parts[0] = parts[0] * mx::array(scale);
    return parts;
  };
  std::vector<int> argnums(params_.size());
  std::iota(argnums.begin(), argnums.end(), 0);
  std::function<std::vector<mx::array>(const std::vector<mx::array>&)> fn = run;
  auto [parts, grads] = mx::value_and_grad(fn, argnums)(params_);
  if (scale != 1) unscale(parts[0], grads, scale);
  for (size_t i = 0; i < grads_.size(); ++i) grads[i] = grads_[i] + grads[i];
  // One pass over the graph; its activations are free when it ends.
  auto outputs = parts;
  outputs.insert(outputs.end(), grads.begin(), grads.end());
  mx::eval(outputs);

  if (!mx::isfinite(parts[0]).item<bool>()) throw NotFinite("the loss is not finite");
  grads_ = std::move(grads);
  ++microbatch_;
  auto result = result_of(batch, parts, totals);
  if (config_.reuse_samples && !batch.old_logprobs) batch.old_logprobs = parts[1];
  return result;
}

float Learner::optim_step(double learning_rate) {
  float norm = global_norm(grads_);
  if (!std::isfinite(norm)) {
    clear_gradient();
    if (lower_loss_scale()) return norm;
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
  if (loss_scale_) loss_scale_->keep();
  clear_gradient();
  update_average();
  show_exported(false);
  return norm;
}

void Learner::clear_gradient() {
  grads_.clear();
  microbatch_ = 0;
}

void Learner::update_average() {
  auto rest = mx::array(static_cast<float>(1 - config_.ema_decay));
  for (size_t i = 0; i < average_.size(); ++i) {
    average_[i] = average_[i] + (params_[i] - average_[i]) * rest;
  }
  mx::eval(average_);
}

const std::vector<mx::array>& Learner::exported() const {
  return average_.empty() ? params_ : average_;
}

void Learner::show_exported(bool show) {
  assign_trained(model_, show ? exported() : params_);
  update_norms(model_);
}

void Learner::sync_reference(double alpha) {
  if (config_.reference) throw std::logic_error("[learner] its reference is fixed");
  auto a = mx::array(static_cast<float>(alpha));
  auto rest = mx::array(static_cast<float>(1 - alpha));
  if (reference_.empty()) reference_ = first_.empty() ? silent_adapter(model_) : first_;
  for (size_t i = 0; i < params_.size(); ++i) {
    reference_[i] = a * params_[i] + rest * reference_[i];
  }
  mx::eval(reference_);
}

ArrayKinds Learner::state() const {
  ArrayKinds kinds = optimizer_.state();
  if (!average_.empty()) kinds["ema"] = average_;
  if (!reference_.empty()) kinds["reference"] = reference_;
  return kinds;
}

void Learner::restore(
    std::vector<mx::array> params, ArrayKinds state, int optimizer_step) {
  expect_shapes_of(params_, params, paths_);
  auto reference = taken(state, "reference");
  if (!reference.empty()) expect_shapes_of(params_, reference, paths_);
  auto average = taken(state, "ema");
  if (average.size() != average_.size())
    throw std::invalid_argument("[checkpoint] the arrays ema are missing or unknown");
  expect_shapes_of(average_, average, paths_);
  optimizer_.restore(std::move(state), optimizer_step);
  reference_ = std::move(reference);
  average_ = std::move(average);
  params_ = std::move(params);
  show_exported(false);
}

}  // namespace pupil
