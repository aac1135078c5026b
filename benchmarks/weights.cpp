#include "weights.h"

#include <map>
#include <tuple>

namespace pupil::bench {
namespace {

constexpr int kGroup = 32;

}  // namespace

QuantizedWeight plain_weight(int in, int out, int bits, int copy) {
  mx::Shape groups{out, in / kGroup};
  float step = 2.0f / static_cast<float>(1 << bits);
  QuantizedWeight w{
      mx::random::bits({out, in * bits / 32}, 4, mx::random::key(copy)),
      mx::full(groups, step, mx::float16),
      mx::full(groups, -1.0f, mx::float16),
      kGroup,
      bits};
  mx::eval(w.packed, w.scales, *w.biases);
  return w;
}

const QuantizedWeight& kept_weight(int in, int out, int bits, int copy) {
  static std::map<std::tuple<int, int, int, int>, QuantizedWeight> kept;
  std::tuple key{in, out, bits, copy};
  auto found = kept.find(key);
  if (found != kept.end()) return found->second;
  return kept.emplace(key, prepared(plain_weight(in, out, bits, copy))).first->second;
}

double weight_bytes(int in, int out, int bits) {
  return 1.0 * in * out * (bits / 8.0 + 4.0 / kGroup);
}

mx::array dequantized(const QuantizedWeight& w) {
  auto dense = mx::dequantize(w.packed, w.scales, w.biases, w.group_size, w.bits);
  return mx::astype(dense, mx::float32);
}

}  // namespace pupil::bench
