#include "ops/rope.h"

#include <gtest/gtest.h>

#include "ops/support.h"

namespace pupil {
namespace {

using ops_test::with_each_isa;

float max_difference(const mx::array& a, const mx::array& b) {
  return mx::max(mx::abs(a - b)).item<float>();
}

RopeTable some_table(int N, int E) {
  auto periods = mx::exp(mx::arange(E / 2) * 0.7f);
  return rope_table(mx::arange(N) * 3 + 1, mx::astype(periods, mx::float32));
}

mx::array normal(const mx::Shape& shape, uint64_t seed) {
  return mx::random::normal(shape, mx::float32, 0.0f, 1.0f, mx::random::key(seed));
}

TEST(Rope, KernelEqualsTheDefinition) {
  with_each_isa([] {
    for (int N : {1, 15, 16, 17, 50}) {
      auto x = normal({N, 3, 10}, N);
      auto table = some_table(N, 10);
      EXPECT_LT(max_difference(rope(x, table), rope_fallback(x, table)), 1e-6f) << N;
    }
  });
}

TEST(Rope, ReadsStridedViews) {
  auto x =
      mx::transpose(normal({4, 20, 8}, 1), {1, 0, 2});  // [20, 4, 8], not contiguous
  auto table = some_table(20, 8);
  EXPECT_LT(max_difference(rope(x, table), rope_fallback(x, table)), 1e-6f);
}

TEST(Rope, GradientEqualsTheDefinitions) {
  with_each_isa([] {
    auto x = normal({20, 2, 8}, 1), weight = normal({20, 2, 8}, 2);
    auto table = some_table(20, 8);
    auto gradient = [&](auto op) {
      auto loss = [&](const mx::array& in) { return mx::sum(op(in, table) * weight); };
      return mx::grad(loss)(x);
    };
    EXPECT_LT(max_difference(gradient(rope), gradient(rope_fallback)), 1e-6f);
  });
}

TEST(Rope, KeepsLengthsAndRelativePositions) {
  auto q = normal({1, 1, 8}, 1), k = normal({1, 1, 8}, 2);
  auto periods = mx::array({1.0f, 5.0f, 20.0f, 90.0f});
  auto score = [&](int i, int j) {
    auto a = rope(q, rope_table(mx::array({i}), periods));
    auto b = rope(k, rope_table(mx::array({j}), periods));
    return mx::sum(a * b).item<float>();
  };
  EXPECT_NEAR(score(7, 3), score(104, 100), 1e-4f);
  EXPECT_NEAR(score(0, 0), mx::sum(q * k).item<float>(), 1e-5f);
}

TEST(Rope, ANarrowTableTurnsTheFirstDimensionsOnly) {
  with_each_isa([] {
    auto x = normal({5, 2, 10}, 1);
    auto table = some_table(5, 6);
    auto first = rope(mx::slice(x, {0, 0, 0}, {5, 2, 6}), table);
    auto expected = mx::concatenate({first, mx::slice(x, {0, 0, 6}, {5, 2, 10})}, 2);
    EXPECT_EQ(max_difference(rope(x, table), expected), 0.0f);
  });
}

}  // namespace
}  // namespace pupil
