#include "ops/token_entropy.h"

#include <algorithm>
#include <vector>

namespace pupil {

namespace {

mx::array entropy_of(const mx::array& logits) {  // [n, V] float32 -> [n]
  auto log_p = logits - mx::logsumexp(logits, -1, true);
  return -mx::sum(mx::exp(log_p) * log_p, -1);
}

}  // namespace

mx::array token_entropy(
    const mx::array& hidden, const HeadFn& head, float temperature, int chunk) {
  auto run = [head, temperature](const std::vector<mx::array>& in) {
    auto logits = mx::astype(head(in[0]), mx::float32) / mx::array(temperature);
    return std::vector<mx::array>{entropy_of(logits)};
  };
  auto checkpointed = mx::checkpoint(run);
  std::vector<mx::array> parts;
  int rows = hidden.shape(0), width = hidden.shape(1);
  for (int first = 0; first < rows; first += chunk) {
    int last = std::min(first + chunk, rows);
    auto part = mx::slice(hidden, {first, 0}, {last, width});
    // One after the other, so that two chunks of logits never exist at once.
    if (!parts.empty()) part = mx::depends({part}, {parts.back()})[0];
    parts.push_back(checkpointed({part})[0]);
  }
  if (parts.empty()) return mx::zeros({0}, mx::float32);
  return parts.size() == 1 ? parts[0] : mx::concatenate(parts, 0);
}

}  // namespace pupil
