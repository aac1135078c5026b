#include "train/optimizer_rules.h"

#include <algorithm>
#include <cmath>

namespace pupil {

namespace {

float single(double x) {
  return static_cast<float>(x);
}

// PyTorch's lerp. -> a + (b - a) weight
mx::array mixed(const mx::array& a, const mx::array& b, double weight) {
  return a + (b - a) * single(weight);
}

mx::array decayed(const mx::array& p, const RuleStep& s) {
  if (s.weight_decay == 0) return p;
  return p * single(1 - s.learning_rate * s.weight_decay);
}

mx::array root_mean_square(const mx::array& x) {
  return mx::sqrt(mx::mean(mx::square(x)));
}

// Keller Jordan's Newton-Schulz iteration, with its five steps and coefficients: the
// singular values of x [R, C] go to about 1.
mx::array orthogonal(const mx::array& x) {
  bool tall = x.shape(0) > x.shape(1);
  auto y = tall ? mx::transpose(x) : x;
  y = y / mx::maximum(mx::sqrt(mx::sum(mx::square(y))), mx::array(1e-7f));
  for (int i = 0; i < 5; ++i) {
    auto gram = mx::matmul(y, mx::transpose(y));
    auto update = gram * -4.7750f + mx::matmul(gram, gram) * 2.0315f;
    y = y * 3.4445f + mx::matmul(update, y);
  }
  return tall ? mx::transpose(y) : y;
}

}  // namespace

void sgd_rule(
    mx::array& p, const mx::array& g, mx::array& momentum, const RuleStep& s) {
  auto slope = s.weight_decay == 0 ? g : g + p * single(s.weight_decay);
  momentum = momentum * single(s.config.momentum) + slope;
  p = p - momentum * single(s.learning_rate);
}

void lion_rule(mx::array& p, const mx::array& g, mx::array& m, const RuleStep& s) {
  auto way = mx::sign(mixed(g, m, s.config.beta1));
  m = mixed(g, m, s.config.beta2);
  p = decayed(p, s) - way * single(s.learning_rate);
}

void adafactor_rule(
    mx::array& p,
    const mx::array& g,
    mx::array& row,
    mx::array& column,
    mx::array& v,
    const RuleStep& s) {
  double share = std::pow(s.step, -0.8);  // of the new squares: 1 - beta2
  auto squares = mx::square(g) + 1e-30f;
  auto update = g;
  if (p.ndim() == 2) {
    row = mixed(row, mx::mean(squares, 1), share);
    column = mixed(column, mx::mean(squares, 0), share);
    auto by_row = mx::rsqrt(row / mx::mean(row));
    update = g * mx::expand_dims(by_row, 1) * mx::expand_dims(mx::rsqrt(column), 0);
  } else {
    v = mixed(v, squares, share);
    update = g * mx::rsqrt(v);
  }
  update = update / mx::maximum(root_mean_square(update), mx::array(1.0f));
  p = decayed(p, s) - update * single(s.learning_rate);
}

void muon_rule(
    mx::array& p, const mx::array& g, mx::array& momentum, const RuleStep& s) {
  double mu = s.config.momentum;
  momentum = mixed(momentum, g, 1 - mu);
  auto update = orthogonal(mixed(g, momentum, mu));  // Nesterov's
  double rate = s.learning_rate * 0.2 * std::sqrt(std::max(p.shape(0), p.shape(1)));
  p = decayed(p, s) - update * single(rate);
}

void adamw_8bit_rule(
    mx::array& p, const mx::array& g, BlockCodes& m, BlockCodes& v, const RuleStep& s) {
  const auto& c = s.config;
  auto first = mixed(from_signed_codes(m, p.shape()), g, 1 - c.beta1);
  auto second = mixed(from_unsigned_codes(v, p.shape()), mx::square(g), 1 - c.beta2);
  double correction1 = 1 - std::pow(c.beta1, s.step);
  double correction2 = std::sqrt(1 - std::pow(c.beta2, s.step));
  auto root = mx::sqrt(second) * single(1 / correction2) + single(c.eps);
  p = decayed(p, s) - first / root * single(s.learning_rate / correction1);
  m = signed_codes(first);
  v = unsigned_codes(second);
}

}  // namespace pupil
