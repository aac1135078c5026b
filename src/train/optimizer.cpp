#include "train/optimizer.h"

#include <cmath>
#include <stdexcept>

namespace pupil {

namespace {

mx::array times(const mx::array& a, double factor) {
  return a * static_cast<float>(factor);
}

}  // namespace

AdamW::AdamW(const std::vector<mx::array>& params, const AdamWConfig& config)
    : config_(config) {
  for (const auto& p : params) {
    first_.push_back(mx::zeros(p.shape(), mx::float32));
    second_.push_back(mx::zeros(p.shape(), mx::float32));
  }
}

void AdamW::update(
    std::vector<mx::array>& params,
    const std::vector<mx::array>& grads,
    double learning_rate) {
  ++step_;
  double correction1 = 1.0 - std::pow(config_.beta1, step_);
  double correction2 = std::sqrt(1.0 - std::pow(config_.beta2, step_));
  double decay = 1.0 - learning_rate * config_.weight_decay;
  for (size_t i = 0; i < params.size(); ++i) {
    auto g = mx::astype(grads[i], mx::float32);
    auto &m = first_[i], &v = second_[i];
    m = m + times(g - m, 1.0 - config_.beta1);
    v = times(v, config_.beta2) + times(mx::square(g), 1.0 - config_.beta2);
    auto root = times(mx::sqrt(v), 1.0 / correction2) + static_cast<float>(config_.eps);
    if (decay != 1.0) params[i] = times(params[i], decay);
    params[i] = params[i] - times(m / root, learning_rate / correction1);
  }
  // The graph must not grow from step to step.
  for (auto* arrays : {&params, &first_, &second_}) mx::eval(*arrays);
}

void AdamW::restore(
    std::vector<mx::array> first, std::vector<mx::array> second, int step) {
  if (first.size() != first_.size() || second.size() != second_.size()) {
    throw std::invalid_argument("[optimizer] the moments are those of another model");
  }
  first_ = std::move(first);
  second_ = std::move(second);
  step_ = step;
}

float global_norm(const std::vector<mx::array>& arrays) {
  std::vector<mx::array> squares;
  for (const auto& a : arrays) {
    squares.push_back(mx::sum(mx::square(mx::astype(a, mx::float32))));
  }
  return std::sqrt(mx::sum(mx::stack(squares)).item<float>());
}

std::vector<mx::array> clip_by_norm(
    std::vector<mx::array> grads, float norm, double max_norm) {
  double scale = max_norm / (norm + 1e-6);
  if (max_norm == 0 || scale >= 1.0) return grads;
  for (auto& g : grads) g = times(g, scale);
  return grads;
}

}  // namespace pupil
