// Gradients beside what a small step really changes.

#pragma once

#include <functional>
#include <vector>

#include "ops/support.h"

namespace pupil::ops_test {

using Arrays = std::vector<mx::array>;

/// One array of several; all float32.
using Function = std::function<mx::array(const Arrays&)>;

/// `step` for what is linear in an argument: no step is too long, and a long one drowns
/// the rounding; and for what is curved, where the error grows as its square.
constexpr float kLongStep = 0.5f, kShortStep = 1e-2f;

/// In each of several random directions d of input `argument`, compares <gradient, d>
/// with (f(x + h d) - f(x - h d)) / 2 h, both weighted by a random cotangent. Random
/// products with a gradient g are as large as |g|, which the tolerance is relative to.
inline void expect_finite_differences(
    const Function& f,
    const Arrays& inputs,
    int argument,
    float step,
    float tolerance = 2e-3f) {
  auto cotangent = normal(f(inputs).shape(), 101);
  auto run = [&](const Arrays& in) { return Arrays{f(in)}; };
  auto gradient = mx::vjp(run, inputs, {cotangent}).second[argument];
  float size = mx::sqrt(mx::sum(mx::square(gradient))).item<float>();
  EXPECT_GT(size, 0.0f);
  for (uint64_t direction = 0; direction < 4; ++direction) {
    auto d = normal(inputs[argument].shape(), 200 + direction);
    auto at = [&](float h) {
      auto moved = inputs;
      moved[argument] = moved[argument] + mx::array(h) * d;
      return f(moved);
    };
    auto slope = (at(step) - at(-step)) / mx::array(2 * step);
    float found = mx::sum(gradient * d).item<float>();
    float expected = mx::sum(slope * cotangent).item<float>();
    EXPECT_NEAR(found, expected, tolerance * size)
        << "argument " << argument << ", direction " << direction;
  }
}

}  // namespace pupil::ops_test
