#include "train/optimizer.h"

#include <cmath>
#include <stdexcept>

#include "train/optimizer_rules.h"

namespace pupil {

namespace {

constexpr size_t kLeast8Bit = 4096;  // numbers of an array; bitsandbytes' min_8bit_size

std::vector<std::string> kinds_of(Optim optim) {
  switch (optim) {
    case Optim::adamw:
    case Optim::adam:
      return {"m", "v"};
    case Optim::sgd:
      return {"momentum"};
    case Optim::lion:
      return {"m"};
    case Optim::adafactor:
      return {"row", "column", "v"};
    case Optim::muon:
      return {"momentum", "m", "v"};
    case Optim::adamw_8bit:
      return {"m", "v", "m_codes", "m_scales", "v_codes", "v_scales"};
  }
  throw std::logic_error("[optimizer] no such optimizer");
}

std::vector<mx::array> taken(
    std::vector<mx::array>& list, const std::vector<size_t>& places) {
  std::vector<mx::array> some;
  for (size_t i : places) some.push_back(std::move(list[i]));
  return some;
}

void put_back(
    std::vector<mx::array>& list,
    const std::vector<size_t>& places,
    std::vector<mx::array>& some) {
  for (size_t n = 0; n < places.size(); ++n) list[places[n]] = std::move(some[n]);
}

bool same_form(const std::vector<mx::array>& a, const std::vector<mx::array>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].shape() != b[i].shape() || a[i].dtype() != b[i].dtype()) return false;
  }
  return true;
}

}  // namespace

Optimizer::Optimizer(
    const std::vector<mx::array>& params, const OptimizerConfig& config)
    : config_(config) {
  for (const auto& kind : kinds_of(config.optim)) state_[kind] = {};
  for (const auto& p : params) add_state(p);
}

bool Optimizer::by_adamw(const mx::array& p) const {
  switch (config_.optim) {
    case Optim::adamw:
    case Optim::adam:
      return true;
    case Optim::sgd:
    case Optim::lion:
    case Optim::adafactor:
      return false;
    case Optim::muon:
      return p.ndim() != 2;
    case Optim::adamw_8bit:
      return p.size() < kLeast8Bit;
  }
  return true;
}

void Optimizer::add_state(const mx::array& p) {
  auto zeros = [](const mx::Shape& shape) { return mx::zeros(shape, mx::float32); };
  for (auto& [kind, arrays] : state_) arrays.push_back(zeros({}));
  auto set = [&](const char* kind, const mx::array& a) { state_.at(kind).back() = a; };
  bool matrix = p.ndim() == 2;
  if (by_adamw(p)) {
    set("m", zeros(p.shape()));
    set("v", zeros(p.shape()));
  } else if (config_.optim == Optim::adamw_8bit) {
    for (bool is_signed : {true, false}) {
      auto codes = zero_codes(static_cast<int64_t>(p.size()), is_signed);
      set(is_signed ? "m_codes" : "v_codes", codes.codes);
      set(is_signed ? "m_scales" : "v_scales", codes.scales);
    }
  } else if (config_.optim == Optim::adafactor && matrix) {
    set("row", zeros({p.shape(0)}));
    set("column", zeros({p.shape(1)}));
  } else if (config_.optim == Optim::adafactor) {
    set("v", zeros(p.shape()));
  } else {
    set(config_.optim == Optim::lion ? "m" : "momentum", zeros(p.shape()));
  }
}

double Optimizer::weight_decay(const mx::array& p) const {
  return p.ndim() < 2 ? 0.0 : config_.weight_decay;
}

AdamWStep Optimizer::adamw_numbers(double learning_rate, double grad_scale) const {
  double correction1 = 1.0 - std::pow(config_.beta1, step_);
  double correction2 = std::sqrt(1.0 - std::pow(config_.beta2, step_));
  auto single = [](double x) { return static_cast<float>(x); };
  return {
      .grad_scale = single(grad_scale),
      .blend1 = single(1.0 - config_.beta1),
      .beta2 = single(config_.beta2),
      .blend2 = single(1.0 - config_.beta2),
      .root_scale = single(1.0 / correction2),
      .eps = single(config_.eps),
      .decay = 1.0f,
      .rate = single(learning_rate / correction1)};
}

void Optimizer::update(
    std::vector<mx::array>& params,
    std::vector<mx::array> grads,
    double learning_rate,
    double grad_scale) {
  if (grads.size() != params.size()) {
    throw std::invalid_argument(
        "[optimizer] expected a gradient of each of " + std::to_string(params.size()) +
        " arrays, got " + std::to_string(grads.size()));
  }
  ++step_;
  std::vector<size_t> plain, decayed;  // AdamW's, in one pass each
  for (size_t i = 0; i < params.size(); ++i) {
    auto& p = params[i];
    if (!by_adamw(p)) {
      auto g = mx::astype(grads[i], mx::float32) * static_cast<float>(grad_scale);
      by_rule(i, p, g, learning_rate);
    } else if (weight_decay(p) == 0) {
      plain.push_back(i);
    } else {
      decayed.push_back(i);
    }
  }
  auto numbers = adamw_numbers(learning_rate, grad_scale);
  adamw(plain, params, grads, numbers);
  if (config_.optim == Optim::adam) {  // the decay is part of the gradient
    auto decay = static_cast<float>(config_.weight_decay / grad_scale);
    for (size_t i : decayed) grads[i] = grads[i] + params[i] * decay;
  } else {
    numbers.decay = static_cast<float>(1.0 - learning_rate * config_.weight_decay);
  }
  adamw(decayed, params, grads, numbers);
  // The graph must not grow from step to step.
  mx::eval(params);
  for (auto& [kind, arrays] : state_) mx::eval(arrays);
}

void Optimizer::adamw(
    const std::vector<size_t>& places,
    std::vector<mx::array>& params,
    std::vector<mx::array>& grads,
    const AdamWStep& step) {
  if (places.empty()) return;
  auto p = taken(params, places);
  auto m = taken(state_.at("m"), places), v = taken(state_.at("v"), places);
  adamw_step({p, m, v}, taken(grads, places), step);
  put_back(params, places, p);
  put_back(state_.at("m"), places, m);
  put_back(state_.at("v"), places, v);
}

void Optimizer::by_rule(
    size_t i, mx::array& p, const mx::array& g, double learning_rate) {
  RuleStep s{config_, step_, learning_rate, weight_decay(p)};
  switch (config_.optim) {
    case Optim::sgd:
      return sgd_rule(p, g, kept("momentum", i), s);
    case Optim::lion:
      return lion_rule(p, g, kept("m", i), s);
    case Optim::muon:
      return muon_rule(p, g, kept("momentum", i), s);
    case Optim::adafactor:
      return adafactor_rule(p, g, kept("row", i), kept("column", i), kept("v", i), s);
    case Optim::adamw_8bit:
      return by_8bit(i, p, g, s);
    case Optim::adamw:
    case Optim::adam:
      break;  // never by a rule
  }
}

void Optimizer::by_8bit(size_t i, mx::array& p, const mx::array& g, const RuleStep& s) {
  BlockCodes m{kept("m_codes", i), kept("m_scales", i)};
  BlockCodes v{kept("v_codes", i), kept("v_scales", i)};
  adamw_8bit_rule(p, g, m, v, s);
  kept("m_codes", i) = m.codes;
  kept("m_scales", i) = m.scales;
  kept("v_codes", i) = v.codes;
  kept("v_scales", i) = v.scales;
}

void Optimizer::restore(ArrayKinds state, int step) {
  bool fits = state.size() == state_.size();
  for (const auto& [kind, arrays] : state_) {
    fits = fits && state.contains(kind) && same_form(arrays, state.at(kind));
  }
  if (!fits) {
    throw std::invalid_argument(
        "[optimizer] the state is not that of " + name() + " for these arrays");
  }
  state_ = std::move(state);
  step_ = step;
}

double clip_scale(float norm, double max_norm) {
  double scale = max_norm / (norm + 1e-6);
  return max_norm == 0 || scale >= 1.0 ? 1.0 : scale;
}

}  // namespace pupil
