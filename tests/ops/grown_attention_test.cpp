#include <gtest/gtest.h>

#include "ops/attention.h"
#include "ops/support.h"

namespace pupil {
namespace {

using ops_test::distance;
using ops_test::normal;
using ops_test::same_bits;
using ops_test::with_each_isa;

// Tokens [begin, end) of x [M, heads, E].
mx::array tokens(const mx::array& x, int begin, int end) {
  return mx::slice(x, {begin, 0, 0}, {end, x.shape(1), x.shape(2)});
}

// The first `end` tokens as a cache has them, [1, heads, end, E].
mx::array first_tokens(const mx::array& x, int end) {
  return mx::expand_dims(mx::transpose(tokens(x, 0, end), {1, 0, 2}), 0);
}

struct Sequence {
  mx::array q, k, v;

  explicit Sequence(int length, uint64_t seed)
      : q(normal({length, 6, 32}, seed)),
        k(normal({length, 2, 32}, seed + 1)),
        v(normal({length, 2, 32}, seed + 2)) {}
};

TEST(GrownAttention, HasTheBitsOfWholeSequences) {
  with_each_isa([] {
    Sequence a(150, 1), b(70, 9);
    auto whole_a = packed_attention(a.q, a.k, a.v, {{150}}, 0.2f);
    auto whole_b = packed_attention(b.q, b.k, b.v, {{70}}, 0.2f);
    int cuts[][2] = {{0, 0}, {1, 70}, {64, 0}, {100, 33}, {149, 69}};
    for (auto [begin_a, begin_b] : cuts) {
      std::vector<GrownSequence> both = {
          {first_tokens(a.k, 150), first_tokens(a.v, 150), 150 - begin_a}};
      auto q = tokens(a.q, begin_a, 150), expected = tokens(whole_a, begin_a, 150);
      if (begin_b < 70) {
        both.push_back({first_tokens(b.k, 70), first_tokens(b.v, 70), 70 - begin_b});
        q = mx::concatenate({q, tokens(b.q, begin_b, 70)}, 0);
        expected = mx::concatenate({expected, tokens(whole_b, begin_b, 70)}, 0);
      }
      EXPECT_TRUE(same_bits(grown_attention(q, both, 0.2f), expected)) << begin_a;
    }
  });
}

TEST(GrownAttention, IsItsDefinition) {
  Sequence a(90, 1), b(40, 9);
  std::vector<GrownSequence> both = {
      {first_tokens(a.k, 90), first_tokens(a.v, 90), 50},
      {first_tokens(b.k, 40), first_tokens(b.v, 40), 40}};
  auto q = mx::concatenate({tokens(a.q, 40, 90), b.q}, 0);
  for (const auto& rule :
       {AttentionRule(0.2f), AttentionRule(0.2f, 7), AttentionRule(0.2f, 0, 1.5f)}) {
    auto got = grown_attention(q, both, rule);
    EXPECT_LT(distance(got, grown_attention_fallback(q, both, rule)), 5e-6f);
    auto whole = packed_attention_fallback(a.q, a.k, a.v, {{90}}, rule);
    EXPECT_LT(distance(tokens(got, 0, 50), tokens(whole, 40, 90)), 5e-6f);
  }
}

TEST(GrownAttention, RefusesWhatDoesNotFit) {
  Sequence a(9, 1);
  auto k = first_tokens(a.k, 9), v = first_tokens(a.v, 9);
  EXPECT_THROW(grown_attention(a.q, {{k, v, 8}}, 0.2f), std::invalid_argument);
  EXPECT_THROW(grown_attention(a.q, {{k, v, 0}}, 0.2f), std::invalid_argument);
  auto short_v = first_tokens(a.v, 8);
  EXPECT_THROW(grown_attention(a.q, {{k, short_v, 9}}, 0.2f), std::invalid_argument);
}

}  // namespace
}  // namespace pupil
