#include "ops/attention.h"

#include <gtest/gtest.h>

#include "ops/support.h"

namespace pupil {
namespace {

using ops_test::distance;
using ops_test::normal;
using ops_test::same_bits;
using ops_test::with_each_isa;

using Arrays = std::vector<mx::array>;

constexpr float kTolerance = 5e-6f;  // sums of up to 300 products in another order

mx::array repeat_heads(const mx::array& x, int heads) {
  return mx::repeat(x, heads / x.shape(1), 1);
}

// Softmax over all keys at once, each query seeing those up to its own position.
mx::array plain_causal(const mx::array& q, const mx::array& k, const mx::array& v) {
  int H = q.shape(1), T = q.shape(2), S = k.shape(2);
  float scale = 1.0f / std::sqrt(static_cast<float>(q.shape(3)));
  auto scores =
      mx::sum(mx::expand_dims(q, 3) * mx::expand_dims(repeat_heads(k, H), 2), -1);
  auto limits = mx::reshape(mx::arange(S - T, S), {T, 1});
  auto seen = mx::reshape(mx::arange(S), {1, S}) <= limits;
  auto masked = mx::where(seen, scale * scores, mx::array(-1e30f));
  auto weights = mx::softmax(masked, -1);
  return mx::sum(
      mx::expand_dims(weights, -1) * mx::expand_dims(repeat_heads(v, H), 2), 3);
}

mx::array behind(const mx::array& prefix, const mx::array& own) {
  auto shape = prefix.shape();
  shape[0] = own.shape(0);
  return mx::concatenate({mx::broadcast_to(prefix, shape), own}, 2);
}

Arrays plain_branch(const Arrays& in) {
  return {plain_causal(in[0], behind(in[1], in[3]), behind(in[2], in[4]))};
}

Arrays our_branch(const Arrays& in) {
  float scale = 1.0f / std::sqrt(static_cast<float>(in[0].shape(3)));
  return {branch_attention(in[0], in[1], in[2], in[3], in[4], scale)};
}

Arrays plain_causal_of(const Arrays& in) {
  return {plain_causal(in[0], in[1], in[2])};
}

Arrays our_causal(const Arrays& in) {
  float scale = 1.0f / std::sqrt(static_cast<float>(in[0].shape(3)));
  return {causal_attention(in[0], in[1], in[2], scale)};
}

struct Sizes {
  int B, H, K, T, P, E;  // P prefix keys, or keys before the queries
};

constexpr Sizes kSizes[] = {
    {1, 1, 1, 1, 0, 4},
    {2, 3, 1, 5, 3, 8},
    {1, 4, 2, 70, 0, 64},
    {3, 6, 2, 9, 63, 16},
    {2, 9, 3, 33, 65, 64},
    {1, 2, 2, 130, 100, 20},
    {2, 2, 1, 64, 64, 128},
    {1, 2, 1, 1, 200, 33},
};

void expect_equal(
    const std::function<Arrays(const Arrays&)>& ours,
    const std::function<Arrays(const Arrays&)>& plain,
    const Arrays& inputs,
    const Sizes& s) {
  auto dy = normal({s.B, s.H, s.T, s.E}, 9);
  auto got = mx::vjp(ours, inputs, {dy}), expected = mx::vjp(plain, inputs, {dy});
  EXPECT_LT(distance(got.first[0], expected.first[0]), kTolerance);
  for (size_t i = 0; i < inputs.size(); ++i)
    EXPECT_LT(distance(got.second[i], expected.second[i]), kTolerance)
        << "gradient " << i << " of T " << s.T << ", P " << s.P << ", E " << s.E;
}

TEST(CausalAttention, EqualsItsDefinitionAndItsGradients) {
  with_each_isa([] {
    for (const auto& s : kSizes) {
      auto q = normal({s.B, s.H, s.T, s.E}, 1);
      auto k = normal({s.B, s.K, s.P + s.T, s.E}, 2);
      auto v = normal({s.B, s.K, s.P + s.T, s.E}, 3);
      expect_equal(our_causal, plain_causal_of, {q, k, v}, s);
    }
  });
}

TEST(BranchAttention, EqualsItsDefinitionAndItsGradients) {
  with_each_isa([] {
    for (const auto& s : kSizes) {
      auto q = normal({s.B, s.H, s.T, s.E}, 1);
      auto pk = normal({1, s.K, s.P, s.E}, 2), pv = normal({1, s.K, s.P, s.E}, 3);
      auto k = normal({s.B, s.K, s.T, s.E}, 4), v = normal({s.B, s.K, s.T, s.E}, 5);
      expect_equal(our_branch, plain_branch, {q, pk, pv, k, v}, s);
    }
  });
}

TEST(CausalAttention, TakesViewsAndOtherTypes) {
  auto heads_last = [](int seed) { return normal({2, 40, 3, 32}, seed); };
  auto view = [](const mx::array& x) { return mx::transpose(x, {0, 2, 1, 3}); };
  Arrays in{view(heads_last(1)), view(heads_last(2)), view(heads_last(3))};
  EXPECT_LT(distance(our_causal(in)[0], plain_causal_of(in)[0]), kTolerance);
  Arrays half;
  for (auto& x : in) half.push_back(mx::astype(x, mx::bfloat16));
  EXPECT_EQ(our_causal(half)[0].dtype(), mx::bfloat16);
  EXPECT_LT(distance(our_causal(half)[0], our_causal(in)[0]), 3e-2f);
  EXPECT_EQ(
      our_causal(
          {mx::zeros({0, 2, 4, 8}),
           mx::zeros({0, 2, 4, 8}),
           mx::zeros({0, 2, 4, 8})})[0]
          .shape(),
      (mx::Shape{0, 2, 4, 8}));
}

// Scores of some hundreds overflow e^x without the running maximum.
TEST(CausalAttention, StandsLargeScores) {
  auto q = 40.0f * normal({1, 2, 90, 16}, 1), k = 40.0f * normal({1, 2, 90, 16}, 2);
  auto v = normal({1, 2, 90, 16}, 3);
  EXPECT_LT(distance(our_causal({q, k, v})[0], plain_causal(q, k, v)), 1e-4f);
}

mx::array tokens(const mx::array& x, int begin, int end) {
  return mx::slice(x, {0, 0, begin, 0}, {x.shape(0), x.shape(1), end, x.shape(3)});
}

mx::array row(const mx::array& x, int b) {
  return mx::slice(x, {b, 0, 0, 0}, {b + 1, x.shape(1), x.shape(2), x.shape(3)});
}

// A tail of the first `length` own tokens in a buffer with room; the room holds noise.
mx::array tail(const mx::array& own, int length, int capacity) {
  auto shape = own.shape();
  shape[2] = capacity - length;
  return mx::concatenate({tokens(own, 0, length), normal(shape, 77)}, 2);
}

TEST(DecodeAttention, EqualsItsDefinitionForRunsOfRows) {
  with_each_isa([] {
    int H = 6, K = 2, E = 16, length = 5;
    auto q = normal({5, H, 1, E}, 1);
    auto k = normal({5, K, 8, E}, 2), v = normal({5, K, 8, E}, 3);
    std::vector<SharedPrefix> prefixes;
    for (auto [P, rows] : {std::pair{70, 3}, {64, 1}, {3, 1}})
      prefixes.push_back(
          {normal({1, K, P, E}, 10 + P), normal({1, K, P, E}, 20 + P), rows});
    auto got = decode_attention(q, prefixes, k, v, length, 0.25f);
    int r = 0;
    for (auto& prefix : prefixes)
      for (int i = 0; i < prefix.num_rows; ++i, ++r) {
        auto expected = plain_causal(
            row(q, r),
            behind(prefix.k, tokens(row(k, r), 0, length)),
            behind(prefix.v, tokens(row(v, r), 0, length)));
        EXPECT_LT(distance(row(got, r), expected), kTolerance) << "row " << r;
      }
  });
}

// Prefill + training (causal over everything, branches over a prefix) and decode, token
// by token and row by row: one order of addition, so the same bits.
TEST(Attention, PrefillTrainingAndDecodeHaveTheSameBits) {
  with_each_isa([] {
    int B = 4, H = 9, K = 3, E = 64, T = 70;
    for (int P : {1, 63, 64, 100}) {
      auto pk = normal({1, K, P, E}, 2), pv = normal({1, K, P, E}, 3);
      auto q = normal({B, H, T, E}, 1), k = normal({B, K, T, E}, 4);
      auto v = normal({B, K, T, E}, 5);
      auto branches = branch_attention(q, pk, pv, k, v, 0.125f);
      for (int b : {0, 3}) {
        auto whole_k = mx::concatenate({pk, row(k, b)}, 2);
        auto whole_v = mx::concatenate({pv, row(v, b)}, 2);
        auto alone = causal_attention(row(q, b), whole_k, whole_v, 0.125f);
        EXPECT_TRUE(same_bits(alone, row(branches, b)));
        auto last =
            causal_attention(tokens(row(q, b), T - 7, T), whole_k, whole_v, 0.125f);
        EXPECT_TRUE(same_bits(last, tokens(row(branches, b), T - 7, T)));
      }
      for (int t : {0, 1, 27, 63, 69}) {
        auto step = decode_attention(
            tokens(q, t, t + 1),
            {{pk, pv, B}},
            tail(k, t + 1, 96),
            tail(v, t + 1, 96),
            t + 1,
            0.125f);
        EXPECT_TRUE(same_bits(step, tokens(branches, t, t + 1)))
            << "P " << P << ", t " << t;
      }
    }
  });
}

TEST(Attention, ThreadsDoNotChangeTheBits) {
  auto q = normal({2, 4, 100, 32}, 1), k = normal({2, 2, 100, 32}, 2);
  auto v = normal({2, 2, 100, 32}, 3);
  auto before = our_causal({q, k, v})[0];
  mx::eval(before);
  for (int threads : {1, 3}) {
    cpu::set_num_threads(threads);
    EXPECT_TRUE(same_bits(our_causal({q, k, v})[0], before));
  }
  cpu::set_num_threads(0);
}

TEST(Attention, NamesWhatDoesNotFit) {
  auto q = mx::zeros({2, 4, 3, 8}), k = mx::zeros({2, 3, 3, 8});
  EXPECT_THROW(causal_attention(q, k, k, 1.0f), std::invalid_argument);
  auto one = mx::zeros({2, 4, 1, 8});
  EXPECT_THROW(causal_attention(q, one, one, 1.0f), std::invalid_argument);
  EXPECT_THROW(decode_attention(one, {}, one, one, 1, 1.0f), std::invalid_argument);
}

}  // namespace
}  // namespace pupil
