#include "ops/activations.h"

#include <stdexcept>

#include "ops/cpu/activation_primitive.h"

namespace pupil {

mx::array swiglu(const mx::array& gate, const mx::array& up) {
  if (gate.shape() != up.shape() || gate.dtype() != up.dtype())
    throw std::invalid_argument("[swiglu] expected gate and up of one shape and type");
  if (cpu::on_cpu()) return cpu::swiglu_fused(gate, up);
  return gate * mx::sigmoid(gate) * up;
}

mx::array geglu(const mx::array& gate, const mx::array& up) {
  if (gate.shape() != up.shape() || gate.dtype() != up.dtype())
    throw std::invalid_argument("[geglu] expected gate and up of one shape and type");
  auto run = [](const std::vector<mx::array>& in) -> std::vector<mx::array> {
    constexpr float kRootOfTwoByPi = 0.7978845608f;
    auto x = mx::astype(in[0], mx::float32);
    auto inner = kRootOfTwoByPi * (x + 0.044715f * x * x * x);
    auto gelu = 0.5f * x * (1.0f + mx::tanh(inner));
    return {mx::astype(gelu, in[0].dtype()) * in[1]};
  };
  return mx::checkpoint(run)({gate, up})[0];
}

mx::array rms_norm(const mx::array& x, const mx::array& weight, float eps) {
  if (x.ndim() == 0 || weight.shape() != mx::Shape{x.shape(-1)})
    throw std::invalid_argument("[rms_norm] expected one weight for each column of x");
  if (cpu::on_cpu()) return cpu::rms_norm_fused(x, weight, eps);
  return mx::fast::rms_norm(x, mx::astype(weight, x.dtype()), eps);
}

}  // namespace pupil
