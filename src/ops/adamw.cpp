#include "ops/adamw.h"

#include <cmath>

#include "ops/cpu/adamw_lists.h"
#include "ops/cpu/arrays.h"

namespace pupil {

void adamw_step(
    const AdamWState& state, std::vector<mx::array> grads, const AdamWStep& step) {
  if (cpu::on_cpu()) return cpu::adamw_step_fused(state, std::move(grads), step);
  adamw_step_fallback(state, std::move(grads), step);
}

void adamw_step_fallback(
    const AdamWState& state, std::vector<mx::array> grads, const AdamWStep& step) {
  for (size_t i = 0; i < grads.size(); ++i) {
    auto g = mx::astype(grads[i], mx::float32) * step.grad_scale;
    auto &m = state.first[i], &v = state.second[i], &p = state.params[i];
    m = m + (g - m) * step.blend1;
    v = v * step.beta2 + mx::square(g) * step.blend2;
    auto root = mx::sqrt(v) * step.root_scale + step.eps;
    p = p * step.decay - m / root * step.rate;
  }
  // The graph must not grow from step to step.
  for (auto* arrays : {&state.params, &state.first, &state.second}) mx::eval(*arrays);
}

float global_norm(const std::vector<mx::array>& arrays) {
  return cpu::on_cpu() ? cpu::global_norm_fused(arrays) : global_norm_fallback(arrays);
}

float global_norm_fallback(const std::vector<mx::array>& arrays) {
  if (arrays.empty()) return 0.0f;
  std::vector<mx::array> squares;
  for (const auto& a : arrays) {
    squares.push_back(mx::sum(mx::square(mx::astype(a, mx::float32))));
  }
  return std::sqrt(mx::sum(mx::stack(squares)).item<float>());
}

}  // namespace pupil
