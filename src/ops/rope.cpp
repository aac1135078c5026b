#include "ops/rope.h"

#include "ops/cpu/arrays.h"
#include "ops/cpu/rope_primitive.h"

namespace pupil {

RopeTable rope_table(const mx::array& positions, const mx::array& periods) {
  auto column = mx::expand_dims(mx::astype(positions, mx::float32), 1);
  auto angles = column / mx::expand_dims(periods, 0);  // [N, E / 2]
  return {mx::cos(angles), mx::sin(angles)};
}

mx::array rope(const mx::array& x, const RopeTable& table) {
  if (int turned = 2 * table.cos.shape(1); turned < x.shape(2)) {
    auto parts = mx::split(x, mx::Shape{turned}, 2);
    return mx::concatenate({rope(parts[0], table), parts[1]}, 2);
  }
  return cpu::on_cpu() ? cpu::rope_fused(x, table) : rope_fallback(x, table);
}

mx::array rope_fallback(const mx::array& x, const RopeTable& table) {
  auto cos = mx::expand_dims(table.cos, 1);  // [N, 1, E / 2]
  auto sin = mx::expand_dims(table.sin, 1);
  auto parts = mx::split(mx::astype(x, mx::float32), 2, 2);
  auto turned = mx::concatenate(
      {parts[0] * cos - parts[1] * sin, parts[0] * sin + parts[1] * cos}, 2);
  return mx::astype(turned, x.dtype());
}

}  // namespace pupil
