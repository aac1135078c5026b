#include "ops/activations.h"

namespace pupil {

mx::array swiglu(const mx::array& gate, const mx::array& up) {
  return gate * mx::sigmoid(gate) * up;
}

mx::array rms_norm(const mx::array& x, const mx::array& weight, float eps) {
  return mx::fast::rms_norm(x, mx::astype(weight, x.dtype()), eps);
}

}  // namespace pupil
