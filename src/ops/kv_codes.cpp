#include "ops/kv_codes.h"

#include <limits>
#include <stdexcept>
#include <string>

#include "ops/cpu/kv_cache.h"

namespace pupil {

namespace {

constexpr float kMost = 127.0f, kLeastScale = 0x1p-100f;

// groups [..., G, n] -> [..., G, 1]
mx::array scales_of(const mx::array& groups) {
  auto largest = mx::max(mx::abs(groups), -1, true);
  auto scale = mx::astype(largest / mx::array(kMost), mx::bfloat16);
  auto least = mx::maximum(mx::astype(scale, mx::float32), mx::array(kLeastScale));
  mx::array nan(std::numeric_limits<float>::quiet_NaN());
  return mx::where(mx::isfinite(largest), least, nan);
}

}  // namespace

void expect_kv_bits(int bits) {
  if (bits == 0 || bits == 8) return;
  throw std::invalid_argument(
      "[kv cache] expected 8 bits for keys and values, or 0 for none, got " +
      std::to_string(bits));
}

mx::array kv_rounded(const mx::array& x, int bits) {
  expect_kv_bits(bits);
  if (bits == 0) return x;
  if (cpu::on_cpu()) return cpu::kv_rounded(x);
  auto straight = mx::custom_vjp(
      [](const std::vector<mx::array>& in) {
        return std::vector<mx::array>{kv_rounded_fallback(in[0])};
      },
      [](const std::vector<mx::array>&,
         const std::vector<mx::array>& cotangents,
         const std::vector<mx::array>&) { return cotangents; });
  return straight({x})[0];
}

mx::array kv_rounded_fallback(const mx::array& x) {
  int width = x.shape(-1), group = kv_group(width);
  auto shape = x.shape();
  shape.back() = width / group;
  shape.push_back(group);
  auto groups = mx::reshape(mx::astype(x, mx::float32), shape);
  auto scale = scales_of(groups);
  auto codes = mx::clip(mx::round(groups / scale), mx::array(-kMost), mx::array(kMost));
  return mx::astype(mx::reshape(codes * scale, x.shape()), x.dtype());
}

}  // namespace pupil
