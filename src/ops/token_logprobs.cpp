#include "ops/token_logprobs.h"

namespace pupil {

mx::array logprobs_of(
    const mx::array& logits, const mx::array& targets, float temperature) {
  auto scaled = mx::astype(logits, mx::float32) * (1.0f / temperature);
  auto picked = mx::take_along_axis(scaled, mx::expand_dims(targets, -1), -1);
  return mx::squeeze(picked, -1) - mx::logsumexp(scaled, -1);
}

}  // namespace pupil
