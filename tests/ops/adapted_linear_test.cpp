// Linears with a low-rank term, alone and several of one input.

#include <gtest/gtest.h>

#include <functional>

#include "ops/linear.h"
#include "ops/support.h"

namespace pupil {
namespace {

using ops_test::distance;
using ops_test::kTolerance;
using ops_test::normal;
using ops_test::quantized;
using ops_test::same_bits;
using ops_test::with_each_isa;

LowRank low_rank(int in, int out, int rank) {
  return {normal({in, rank}, 5), normal({rank, out}, 6), 0.5f};
}

// The fused form beside its definition: values, and the gradients to x, A and B.
void expect_equals_its_parts(
    const std::function<mx::array(const mx::array&, const LowRank&)>& fused,
    const std::function<mx::array(const mx::array&)>& base,
    const mx::array& x,
    const LowRank& term) {
  auto run = [&](const std::vector<mx::array>& in) {
    return std::vector{fused(in[0], {in[1], in[2], term.scale})};
  };
  auto define = [&](const std::vector<mx::array>& in) {
    auto y = base(in[0]);
    auto extra = low_rank_term(in[0], {in[1], in[2], term.scale});
    return std::vector{y + mx::astype(extra, y.dtype())};
  };
  std::vector<mx::array> inputs = {x, term.a, term.b};
  auto y = run(inputs)[0];
  auto dy = normal(y.shape(), 9);
  auto found = mx::vjp(run, inputs, {dy}).second;
  auto expected = mx::vjp(define, inputs, {dy}).second;
  EXPECT_LT(distance(y, define(inputs)[0]), kTolerance);
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].shape(), expected[i].shape());
    EXPECT_LT(distance(found[i], expected[i]), kTolerance) << "argument " << i;
  }
}

TEST(AdaptedLinear, EqualsItsParts) {
  with_each_isa([] {
    for (int rows : {1, 3, 5, 8, 13, 70}) {
      auto x = normal({rows, 96}, 1), w = normal({130, 96}, 2);
      auto term = low_rank(96, 130, rows == 3 ? 1 : 16);
      expect_equals_its_parts(
          [&](const auto& in, const LowRank& l) { return linear(in, w, l); },
          [&](const auto& in) { return linear(in, w); },
          x,
          term);
      for (int bits : {3, 4, 8}) {
        auto q = quantized(w, 32, bits, mx::float16);
        expect_equals_its_parts(
            [&](const auto& in, const LowRank& l) {
              return quantized_linear(in, q, l);
            },
            [&](const auto& in) { return quantized_linear(in, q); },
            x,
            term);
      }
    }
  });
}

TEST(AdaptedLinear, TakesViewsAndNothing) {
  auto q = quantized(normal({64, 96}, 2), 32, 4, mx::float16);
  auto term = low_rank(96, 64, 4);
  auto flat = normal({2, 5, 96}, 1);
  auto view = mx::transpose(mx::contiguous(mx::transpose(flat, {1, 0, 2})), {1, 0, 2});
  EXPECT_TRUE(
      same_bits(quantized_linear(view, q, term), quantized_linear(flat, q, term)));
  EXPECT_EQ(quantized_linear(mx::zeros({0, 96}), q, term).shape(), (mx::Shape{0, 64}));
}

TEST(AdaptedLinear, AFreshAdapterChangesNoBit) {
  auto q = quantized(normal({64, 96}, 2), 32, 4, mx::float16);
  auto x = normal({9, 96}, 1);
  LowRank fresh{normal({96, 16}, 5), mx::zeros({16, 64}), 2.0f};
  EXPECT_TRUE(same_bits(quantized_linear(x, q, fresh), quantized_linear(x, q)));
}

TEST(AdaptedLinear, ARowHasTheSameBitsInAnyBatch) {
  with_each_isa([] {
    auto q = quantized(normal({200, 576}, 2), 32, 4, mx::float16);
    auto x = normal({64, 576}, 1);
    auto term = low_rank(576, 200, 16);
    auto all = quantized_linear(x, q, term);
    for (int threads : {1, 3})
      for (int count : {1, 2, 8, 13, 40}) {
        cpu::set_num_threads(threads);
        auto part = quantized_linear(mx::slice(x, {0, 0}, {count, 576}), q, term);
        EXPECT_TRUE(same_bits(part, mx::slice(all, {0, 0}, {count, 200}))) << count;
      }
    cpu::set_num_threads(0);
  });
}

// Three linears of one input: as one call, or one by one.
std::vector<mx::array> three_linears(
    const std::vector<mx::array>& in,
    const std::vector<QuantizedWeight>& weights,
    bool as_one) {
  std::vector<LowRank> terms;
  for (size_t i = 1; i < in.size(); i += 2) terms.push_back({in[i], in[i + 1], 0.5f});
  if (as_one) return quantized_linears(in[0], weights, terms);
  std::vector<mx::array> all;
  for (size_t i = 0; i < weights.size(); ++i)
    all.push_back(quantized_linear(in[0], weights[i], terms[i]));
  return all;
}

void expect_together_as_one_by_one(int rows, int last_bits) {
  std::vector<QuantizedWeight> weights;
  std::vector<mx::array> inputs = {normal({rows, 96}, 1)}, dys;
  for (auto [out, rank] : {std::pair{64, 16}, {48, 4}, {130, 16}}) {
    int bits = out == 130 ? last_bits : 4;
    weights.push_back(quantized(normal({out, 96}, out), 32, bits, mx::float16));
    auto term = low_rank(96, out, rank);
    inputs.insert(inputs.end(), {term.a, term.b});
    dys.push_back(normal({rows, out}, out + 1));
  }
  auto run = [&](bool as_one) {
    auto fn = [&](const std::vector<mx::array>& in) {
      return three_linears(in, weights, as_one);
    };
    return mx::vjp(fn, inputs, dys);
  };
  auto [found, gradients] = run(true);
  auto [expected, expected_gradients] = run(false);
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_TRUE(same_bits(found[i], expected[i])) << i << ", " << rows << " rows";
  for (size_t i = 0; i < gradients.size(); ++i)
    EXPECT_LT(distance(gradients[i], expected_gradients[i]), kTolerance) << i;
}

TEST(AdaptedLinear, OfOneInputTogetherAsOneByOne) {
  with_each_isa([] {
    for (int rows : {1, 5, 13, 70})
      for (int last_bits : {4, 8}) expect_together_as_one_by_one(rows, last_bits);
  });
}

}  // namespace
}  // namespace pupil
