#include "ops/kv_codes.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/support.h"

namespace pupil {
namespace {

using ops_test::distance;
using ops_test::normal;
using ops_test::same_bits;
using ops_test::with_each_isa;

// Numbers of any size, zeros among them.
mx::array numbers(int width) {
  auto x = normal({7, 3, width}, 1);
  auto sizes = mx::exp(mx::reshape(mx::arange(-30.0f, 33.0f, 3.0f), {7, 3, 1}));
  return mx::where(normal(x.shape(), 2) > mx::array(2.0f), mx::zeros({1}), x * sizes);
}

TEST(KvCodes, AreTheirDefinition) {
  with_each_isa([] {
    for (int width : {8, 32, 64, 80, 128}) {
      auto x = numbers(width);
      EXPECT_TRUE(same_bits(kv_rounded(x, 8), kv_rounded_fallback(x))) << width;
      auto turned = mx::swapaxes(x, 0, 1);  // strided
      EXPECT_TRUE(same_bits(kv_rounded(turned, 8), kv_rounded_fallback(turned)))
          << width;
      auto half = mx::astype(x, mx::bfloat16);
      EXPECT_TRUE(same_bits(
          mx::astype(kv_rounded(half, 8), mx::float32),
          mx::astype(kv_rounded_fallback(half), mx::float32)));
    }
  });
}

TEST(KvCodes, AreWithinHalfAStep) {
  with_each_isa([] {
    auto x = numbers(64);
    auto groups = mx::reshape(x, {7, 3, 2, 32});
    auto step = mx::max(mx::abs(groups), -1, true) / mx::array(127.0f);
    auto error = mx::abs(mx::reshape(kv_rounded(x, 8), groups.shape()) - groups);
    // A scale is rounded by up to 2^-9 of itself; 2^-100 is the least.
    auto most = step * mx::array(0.5f * (1 + 0x1p-8f)) + mx::array(0x1p-100f);
    EXPECT_TRUE(mx::all(mx::less_equal(error, most)).item<bool>());
    EXPECT_GT(mx::max(error).item<float>(), 0);
  });
}

TEST(KvCodes, WhatIsRoundedStays) {
  with_each_isa([] {
    for (int width : {32, 80}) {
      auto once = kv_rounded(numbers(width), 8);
      EXPECT_TRUE(same_bits(kv_rounded(once, 8), once));
    }
    auto zeros = mx::zeros({2, 32});
    EXPECT_TRUE(same_bits(kv_rounded(zeros, 8), zeros));
  });
}

TEST(KvCodes, AGroupThatIsNotFiniteIsNaN) {
  with_each_isa([] {
    for (float bad : {INFINITY, -INFINITY, NAN}) {
      auto x = normal({2, 64}, 1);
      x = mx::slice_update(x, mx::full({1, 1}, bad), mx::Shape{0, 5}, mx::Shape{1, 6});
      for (const auto& y : {kv_rounded(x, 8), kv_rounded_fallback(x)}) {
        auto nan = mx::sum(mx::astype(mx::isnan(y), mx::int32), 1);
        EXPECT_EQ(mx::slice(nan, {0}, {1}).item<int>(), 32);
        EXPECT_EQ(mx::slice(nan, {1}, {2}).item<int>(), 0);
      }
    }
  });
}

TEST(KvCodes, TheGradientGoesStraightThrough) {
  auto x = normal({5, 64}, 1), dy = normal({5, 64}, 2);
  auto ours = [](const std::vector<mx::array>& in) {
    return std::vector<mx::array>{kv_rounded(in[0], 8)};
  };
  EXPECT_TRUE(same_bits(mx::vjp(ours, {x}, {dy}).second[0], dy));
}

TEST(KvCodes, OtherBitsAreRefused) {
  auto x = normal({2, 32}, 1);
  EXPECT_TRUE(same_bits(kv_rounded(x, 0), x));
  EXPECT_THROW(kv_rounded(x, 4), std::invalid_argument);
}

}  // namespace
}  // namespace pupil
