#include "train/optimizer.h"

#include <cmath>
#include <stdexcept>

namespace pupil {

AdamW::AdamW(const std::vector<mx::array>& params, const AdamWConfig& config)
    : config_(config) {
  for (const auto& p : params) {
    first_.push_back(mx::zeros(p.shape(), mx::float32));
    second_.push_back(mx::zeros(p.shape(), mx::float32));
  }
}

void AdamW::update(
    std::vector<mx::array>& params,
    std::vector<mx::array> grads,
    double learning_rate,
    double grad_scale) {
  ++step_;
  double correction1 = 1.0 - std::pow(config_.beta1, step_);
  double correction2 = std::sqrt(1.0 - std::pow(config_.beta2, step_));
  auto single = [](double x) { return static_cast<float>(x); };
  AdamWStep step{
      .grad_scale = single(grad_scale),
      .blend1 = single(1.0 - config_.beta1),
      .beta2 = single(config_.beta2),
      .blend2 = single(1.0 - config_.beta2),
      .root_scale = single(1.0 / correction2),
      .eps = single(config_.eps),
      .decay = single(1.0 - learning_rate * config_.weight_decay),
      .rate = single(learning_rate / correction1)};
  adamw_step({params, first_, second_}, std::move(grads), step);
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

double clip_scale(float norm, double max_norm) {
  double scale = max_norm / (norm + 1e-6);
  return max_norm == 0 || scale >= 1.0 ? 1.0 : scale;
}

}  // namespace pupil
