#include "ops/attention.h"

namespace pupil {

mx::array causal_attention(
    const mx::array& q, const mx::array& k, const mx::array& v, float scale) {
  return mx::fast::scaled_dot_product_attention(q, k, v, scale, "causal");
}

}  // namespace pupil
