// The gradient of each operation beside finite differences, with each instruction set.

#include "ops/finite_differences.h"

#include <gtest/gtest.h>

#include "ops/activations.h"
#include "ops/attention.h"
#include "ops/linear.h"
#include "ops/rope.h"
#include "ops/token_logprobs.h"

namespace pupil {
namespace {

using ops_test::Arrays;
using ops_test::expect_finite_differences;
using ops_test::kLongStep;
using ops_test::kShortStep;
using ops_test::normal;
using ops_test::quantized;
using ops_test::with_each_isa;

TEST(FiniteDifferences, OfADenseLinearToInputAndWeight) {
  with_each_isa([] {
    auto f = [](const Arrays& in) { return linear(in[0], in[1]); };
    for (int argument : {0, 1})
      expect_finite_differences(
          f, {normal({5, 33}, 1), normal({7, 33}, 2)}, argument, kLongStep);
  });
}

TEST(FiniteDifferences, OfAPackedLinear) {
  with_each_isa([] {
    for (int bits : {3, 4, 8})
      for (int rows : {2, 13}) {
        auto w = quantized(normal({24, 64}, 2), 32, bits, mx::float16);
        auto f = [&](const Arrays& in) { return quantized_linear(in[0], w); };
        expect_finite_differences(f, {normal({rows, 64}, 1)}, 0, kLongStep);
      }
  });
}

// Inputs: x, A, B.
Arrays adapted_inputs() {
  return {normal({6, 64}, 1), normal({64, 4}, 3), normal({4, 24}, 4)};
}

TEST(FiniteDifferences, OfAnAdaptedLinearToInputAndBothFactors) {
  with_each_isa([] {
    auto w = normal({24, 64}, 2);
    auto q = quantized(w, 32, 4, mx::float16);
    auto dense = [&](const Arrays& in) {
      return linear(in[0], w, {in[1], in[2], 0.5f});
    };
    auto packed = [&](const Arrays& in) {
      return quantized_linear(in[0], q, {in[1], in[2], 0.5f});
    };
    for (int argument : {0, 1, 2}) {
      expect_finite_differences(dense, adapted_inputs(), argument, kLongStep);
      expect_finite_differences(packed, adapted_inputs(), argument, kLongStep);
    }
  });
}

TEST(FiniteDifferences, OfRmsNormToInputAndWeight) {
  with_each_isa([] {
    auto f = [](const Arrays& in) { return rms_norm(in[0], in[1], 1e-5f); };
    Arrays inputs = {normal({5, 37}, 1), normal({37}, 2)};
    expect_finite_differences(f, inputs, 0, kShortStep);
    expect_finite_differences(f, inputs, 1, kLongStep);
  });
}

TEST(FiniteDifferences, OfSwigluToGateAndUp) {
  with_each_isa([] {
    auto f = [](const Arrays& in) { return swiglu(in[0], in[1]); };
    Arrays inputs = {2.0f * normal({5, 19}, 1), normal({5, 19}, 2)};
    expect_finite_differences(f, inputs, 0, kShortStep);
    expect_finite_differences(f, inputs, 1, kLongStep);
  });
}

TEST(FiniteDifferences, OfGegluToGateAndUp) {
  auto f = [](const Arrays& in) { return geglu(in[0], in[1]); };
  Arrays inputs = {2.0f * normal({5, 19}, 1), normal({5, 19}, 2)};
  expect_finite_differences(f, inputs, 0, kShortStep);
  expect_finite_differences(f, inputs, 1, kLongStep);
}

TEST(FiniteDifferences, OfRope) {
  with_each_isa([] {
    auto table = rope_table(mx::arange(9), mx::array({1.0f, 5.0f, 20.0f, 90.0f}));
    auto f = [&](const Arrays& in) { return rope(in[0], table); };
    expect_finite_differences(f, {normal({9, 2, 8}, 1)}, 0, kLongStep);
  });
}

// Causal, and branches of one prompt; then with a window and a cap.
TEST(FiniteDifferences, OfAttentionToQueriesKeysAndValues) {
  with_each_isa([] {
    Arrays inputs = {
        normal({12, 4, 8}, 1), normal({12, 2, 8}, 2), normal({12, 2, 8}, 3)};
    for (const auto& segments :
         {std::vector<Segment>{{12}}, {{5}, {4, 0}, {3, 0}}, {{4}, {3}, {5, 1}}})
      for (const auto& rule : {AttentionRule(0.3f), AttentionRule(0.3f, 3, 1.5f)}) {
        auto f = [&](const Arrays& in) {
          return packed_attention(in[0], in[1], in[2], segments, rule);
        };
        expect_finite_differences(f, inputs, 0, kShortStep);
        expect_finite_differences(f, inputs, 1, kShortStep);
        expect_finite_differences(f, inputs, 2, kLongStep);
      }
  });
}

TEST(FiniteDifferences, OfTokenLogprobs) {
  with_each_isa([] {
    auto weight = 0.5f * normal({12, 50}, 2);
    auto targets = mx::random::randint(0, 50, {7}, mx::int32, mx::random::key(3));
    auto head = [&](const mx::array& hidden) { return mx::matmul(hidden, weight); };
    for (int chunk : {3, 256}) {
      auto f = [&](const Arrays& in) {
        return token_logprobs(in[0], targets, head, 0.7f, chunk).logprobs;
      };
      expect_finite_differences(f, {normal({7, 12}, 1)}, 0, kShortStep);
    }
  });
}

}  // namespace
}  // namespace pupil
