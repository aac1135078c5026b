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

using Segments = std::vector<Segment>;

float scale_for(int width) {
  return 1.0f / std::sqrt(static_cast<float>(width));
}

// [M, H, E] -> [1, H, end - begin, E]
mx::array sequence(const mx::array& x, int begin, int end) {
  auto rows = mx::slice(x, {begin, 0, 0}, {end, x.shape(1), x.shape(2)});
  return mx::expand_dims(mx::transpose(rows, {1, 0, 2}), 0);
}

// Segment by segment, each behind its parent.
Arrays plain_packed(const Arrays& in, const Segments& segments) {
  std::vector<int> begins = {0};
  for (const auto& s : segments) begins.push_back(begins.back() + s.length);
  Arrays outs;
  for (size_t i = 0; i < segments.size(); ++i) {
    if (segments[i].length == 0) continue;
    auto own = [&](int input) { return sequence(in[input], begins[i], begins[i + 1]); };
    auto k = own(1), v = own(2);
    if (int p = segments[i].parent; p >= 0) {
      k = behind(sequence(in[1], begins[p], begins[p + 1]), k);
      v = behind(sequence(in[2], begins[p], begins[p + 1]), v);
    }
    outs.push_back(
        mx::transpose(mx::squeeze(plain_causal(own(0), k, v), 0), {1, 0, 2}));
  }
  return {mx::concatenate(outs, 0)};
}

struct Case {
  int H, K, E;
  Segments segments;

  int tokens() const {
    int count = 0;
    for (const auto& s : segments) count += s.length;
    return count;
  }
  Arrays inputs() const {
    int M = tokens();
    return {normal({M, H, E}, 1), normal({M, K, E}, 2), normal({M, K, E}, 3)};
  }
};

const Case kCases[] = {
    {1, 1, 4, {{1}}},
    {3, 1, 8, {{3}, {5, 0}, {5, 0}}},
    {4, 2, 64, {{70}}},
    {6, 2, 16, {{63}, {9, 0}, {1, 0}, {0, 0}, {12, 0}}},
    {9, 3, 64, {{65}, {33, 0}, {7, 0}}},
    {2, 2, 20, {{100}, {130, 0}}},
    {2, 1, 128, {{64}, {64, 0}, {5}, {3, 2}, {2, 0}}},
    {2, 1, 33, {{200}, {1, 0}, {1, 0}}},
};

using Attend = mx::array (*)(
    const mx::array&,
    const mx::array&,
    const mx::array&,
    const Segments&,
    const AttentionRule&);

void expect_its_definition(Attend attend, const Case& c) {
  auto ours = [&](const Arrays& in) {
    return Arrays{attend(in[0], in[1], in[2], c.segments, scale_for(c.E))};
  };
  auto plain = [&](const Arrays& in) { return plain_packed(in, c.segments); };
  auto dy = normal({c.tokens(), c.H, c.E}, 9);
  auto got = mx::vjp(ours, c.inputs(), {dy});
  auto expected = mx::vjp(plain, c.inputs(), {dy});
  EXPECT_LT(distance(got.first[0], expected.first[0]), kTolerance);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_LT(distance(got.second[i], expected.second[i]), kTolerance)
        << "gradient " << i << " of " << c.tokens() << " tokens, E " << c.E;
}

TEST(PackedAttention, EqualsItsDefinitionAndItsGradients) {
  with_each_isa([] {
    for (const auto& c : kCases) expect_its_definition(packed_attention, c);
  });
}

TEST(PackedAttention, SoDoesTheFallback) {
  for (const auto& c : kCases) expect_its_definition(packed_attention_fallback, c);
}

TEST(PackedAttention, TakesViewsAndOtherTypes) {
  Segments segments = {{40}, {17, 0}};
  auto view = [](int heads, int seed) {
    return mx::transpose(normal({heads, 57, 32}, seed), {1, 0, 2});
  };
  Arrays in{view(3, 1), view(3, 2), view(3, 3)};
  auto run = [&](const Arrays& x) {
    return packed_attention(x[0], x[1], x[2], segments, scale_for(32));
  };
  EXPECT_LT(distance(run(in), plain_packed(in, segments)[0]), kTolerance);
  Arrays half;
  for (auto& x : in) half.push_back(mx::astype(x, mx::bfloat16));
  EXPECT_EQ(run(half).dtype(), mx::bfloat16);
  EXPECT_LT(distance(run(half), run(in)), 3e-2f);
  auto empty = mx::zeros({0, 2, 8});
  EXPECT_EQ(packed_attention(empty, empty, empty, {}, 1.0f).shape(), empty.shape());
}

// Scores of some hundreds overflow e^x without the running maximum.
TEST(PackedAttention, StandsLargeScores) {
  auto q = 40.0f * normal({90, 2, 16}, 1), k = 40.0f * normal({90, 2, 16}, 2);
  auto v = normal({90, 2, 16}, 3);
  EXPECT_LT(
      distance(
          packed_attention(q, k, v, {{90}}, 0.25f), plain_packed({q, k, v}, {{90}})[0]),
      1e-4f);
}

mx::array tokens(const mx::array& x, int begin, int end) {
  return mx::slice(x, {0, 0, begin, 0}, {x.shape(0), x.shape(1), end, x.shape(3)});
}

mx::array row(const mx::array& x, int b) {
  return mx::slice(x, {b, 0, 0, 0}, {b + 1, x.shape(1), x.shape(2), x.shape(3)});
}

// Rows of a decode step with prompts and own tokens of several lengths.
struct Step {
  static constexpr int kHeads = 6, kKeyHeads = 2, kWidth = 16;
  mx::array q = normal({5, kHeads, 1, kWidth}, 1);
  mx::array k = normal({5, kKeyHeads, 8, kWidth}, 2);
  mx::array v = normal({5, kKeyHeads, 8, kWidth}, 3);
  std::vector<SharedPrefix> prefixes;
  std::vector<int> lengths;
  static float scale() { return 0.25f; }

  explicit Step(std::vector<int> own) : lengths(std::move(own)) {
    for (auto [P, rows] : {std::pair{70, 3}, {64, 1}, {3, 1}}) {
      mx::Shape shape = {1, kKeyHeads, P, kWidth};
      prefixes.push_back({normal(shape, 10 + P), normal(shape, 20 + P), rows});
    }
  }

  void expect_rows(const mx::array& got) const {
    int r = 0;
    for (const auto& prefix : prefixes)
      for (int i = 0; i < prefix.num_rows; ++i, ++r) {
        auto expected = plain_causal(
            row(q, r),
            behind(prefix.k, tokens(row(k, r), 0, lengths[r])),
            behind(prefix.v, tokens(row(v, r), 0, lengths[r])));
        EXPECT_LT(distance(row(got, r), expected), kTolerance) << "row " << r;
      }
  }
};

// A tail of the first `length` own tokens in a buffer with room; the room holds noise.
mx::array tail(const mx::array& own, int length, int capacity) {
  auto shape = own.shape();
  shape[2] = capacity - length;
  return mx::concatenate({tokens(own, 0, length), normal(shape, 77)}, 2);
}

TEST(DecodeAttention, EqualsItsDefinitionForRunsOfRows) {
  with_each_isa([] {
    for (const auto& lengths :
         {std::vector{5, 5, 5, 5, 5}, {1, 8, 3, 2, 7}, {8, 8, 8, 1, 1}}) {
      Step s(lengths);
      s.expect_rows(
          decode_attention(s.q, s.prefixes, s.k, s.v, s.lengths, Step::scale()));
    }
  });
}

// Rows [begin, end) of the first axis.
mx::array rows_of(const mx::array& x, int begin, int end) {
  return mx::slice(x, {begin, 0, 0}, {end, x.shape(1), x.shape(2)});
}

// Row t of each of B branches of T tokens behind P of a prompt -> [B, H, 1, E]
mx::array step_rows(const mx::array& x, int P, int B, int T, int t) {
  Arrays rows;
  for (int b = 0; b < B; ++b)
    rows.push_back(rows_of(x, P + b * T + t, P + b * T + t + 1));
  return mx::expand_dims(mx::concatenate(rows, 0), 2);
}

// Prefill (one sequence), training (branches of one prompt) and decode, token by token
// and row by row: one order of addition, so the same bits.
TEST(Attention, PrefillTrainingAndDecodeHaveTheSameBits) {
  with_each_isa([] {
    int B = 4, H = 9, K = 3, E = 64, T = 70;
    for (int P : {1, 63, 64, 100}) {
      int M = P + B * T;
      auto q = normal({M, H, E}, 1), k = normal({M, K, E}, 4), v = normal({M, K, E}, 5);
      Segments segments(B + 1, Segment{T, 0});
      segments[0] = {P};
      auto packed = packed_attention(q, k, v, segments, 0.125f);
      for (int b : {0, 3}) {
        int begin = P + b * T;
        auto whole = [&](const mx::array& x) {
          return mx::concatenate({rows_of(x, 0, P), rows_of(x, begin, begin + T)}, 0);
        };
        auto alone = packed_attention(whole(q), whole(k), whole(v), {{P + T}}, 0.125f);
        EXPECT_TRUE(same_bits(rows_of(alone, 0, P), rows_of(packed, 0, P)));
        EXPECT_TRUE(
            same_bits(rows_of(alone, P, P + T), rows_of(packed, begin, begin + T)));
      }
      auto own = [&](const mx::array& x) {
        auto rows = mx::reshape(rows_of(x, P, M), {B, T, x.shape(1), E});
        return mx::transpose(rows, {0, 2, 1, 3});
      };
      for (int t : {0, 1, 27, 63, 69}) {
        auto step = decode_attention(
            step_rows(q, P, B, T, t),
            {{sequence(k, 0, P), sequence(v, 0, P), B}},
            tail(own(k), t + 1, 96),
            tail(own(v), t + 1, 96),
            std::vector<int>(B, t + 1),
            0.125f);
        EXPECT_TRUE(same_bits(step, step_rows(packed, P, B, T, t)))
            << "P " << P << ", t " << t;
      }
    }
  });
}

TEST(Attention, ThreadsDoNotChangeTheBits) {
  Case c{4, 2, 32, {{100}, {60, 0}, {40, 0}}};
  auto run = [&] {
    auto f = [&](const Arrays& in) {
      return Arrays{packed_attention(in[0], in[1], in[2], c.segments, 0.2f)};
    };
    auto [outs, grads] = mx::vjp(f, c.inputs(), {normal({200, 4, 32}, 9)});
    Arrays all = {outs[0], grads[0], grads[1], grads[2]};
    mx::eval(all);
    return all;
  };
  auto before = run();
  for (int threads : {1, 3}) {
    cpu::set_num_threads(threads);
    auto now = run();
    for (size_t i = 0; i < now.size(); ++i) EXPECT_TRUE(same_bits(now[i], before[i]));
  }
  cpu::set_num_threads(0);
}

TEST(Attention, NamesWhatDoesNotFit) {
  auto q = mx::zeros({3, 4, 8}), k = mx::zeros({3, 2, 8}), odd = mx::zeros({3, 3, 8});
  EXPECT_THROW(packed_attention(q, odd, odd, {{3}}, 1.0f), std::invalid_argument);
  for (const auto& segments :
       {Segments{{2}}, {{3, 0}}, {{1}, {1, 0}, {1, 1}}, {{4}, {-1}}})
    EXPECT_THROW(packed_attention(q, k, k, segments, 1.0f), std::invalid_argument);
  auto one = mx::zeros({2, 4, 1, 8});
  EXPECT_THROW(decode_attention(one, {}, one, one, {1}, 1.0f), std::invalid_argument);
}

// One query after the other: no mask, but the keys that it sees.
mx::array rule_by_query(
    const mx::array& q,
    const mx::array& k,
    const mx::array& v,
    const AttentionRule& r) {
  int H = q.shape(1), K = k.shape(1), E = q.shape(2);
  Arrays outs;
  for (int t = 0; t < q.shape(0); ++t) {
    int first = r.window == 0 ? 0 : std::max(0, t + 1 - r.window);
    auto seen = [&](const mx::array& x) {  // [H, keys, E]
      auto keys = mx::slice(x, {first, 0, 0}, {t + 1, K, E});
      return mx::repeat(mx::transpose(keys, {1, 0, 2}), H / K, 0);
    };
    auto query = mx::transpose(mx::slice(q, {t, 0, 0}, {t + 1, H, E}), {1, 0, 2});
    auto scores = mx::matmul(query, mx::swapaxes(seen(k), 1, 2)) * r.scale;
    if (r.softcap > 0) scores = r.softcap * mx::tanh(scores / r.softcap);
    outs.push_back(mx::squeeze(mx::matmul(mx::softmax(scores, -1), seen(v)), 1));
  }
  return mx::stack(outs, 0);
}

const AttentionRule kRules[] = {
    {0.3f, 5}, {0.3f, 0, 1.5f}, {0.3f, 3, 0.7f}, {0.3f, 50}};

TEST(Attention, WindowsAndCapsAreTheirDefinition) {
  auto q = normal({12, 4, 8}, 1), k = normal({12, 2, 8}, 2), v = normal({12, 2, 8}, 3);
  auto dy = normal({12, 4, 8}, 4);
  for (const auto& rule : kRules) {
    auto ours = [&](const Arrays& in) {
      return Arrays{packed_attention(in[0], in[1], in[2], {{12}}, rule)};
    };
    auto plain = [&](const Arrays& in) {
      return Arrays{rule_by_query(in[0], in[1], in[2], rule)};
    };
    auto got = mx::vjp(ours, {q, k, v}, {dy}),
         expected = mx::vjp(plain, {q, k, v}, {dy});
    EXPECT_LT(distance(got.first[0], expected.first[0]), kTolerance);
    for (int i = 0; i < 3; ++i)
      EXPECT_LT(distance(got.second[i], expected.second[i]), kTolerance) << i;
  }
}

// A prompt of 4, 7 or no tokens, then the row's own.
TEST(Attention, ADecodeStepSeesTheSameWindow) {
  for (int P : {4, 7, 0})
    for (const auto& rule : kRules) {
      int own = 6, S = P + own;
      auto q = normal({S, 4, 8}, 1), k = normal({S, 2, 8}, 2), v = normal({S, 2, 8}, 3);
      auto whole = rule_by_query(q, k, v, rule);
      auto tail = [&](const mx::array& x) {  // with room for two more
        return mx::concatenate({sequence(x, P, S), mx::ones({1, 2, 2, 8})}, 2);
      };
      for (int length = 1; length <= own; ++length) {
        int at = P + length - 1;
        auto step = decode_attention(
            sequence(q, at, at + 1),
            {{sequence(k, 0, P), sequence(v, 0, P), 1}},
            tail(k),
            tail(v),
            {length},
            rule);
        EXPECT_LT(distance(step, sequence(whole, at, at + 1)), kTolerance)
            << P << " " << length << " " << rule.window;
      }
    }
}

// Rows of one prompt with as many own tokens as they like.
TEST(Attention, ADecodeStepOfUnequalRowsSeesEachOnesWindow) {
  int P = 5, own = 6, S = P + own;
  std::vector<int> lengths = {1, 6, 3};
  auto q = normal({S, 4, 8}, 1), k = normal({S, 2, 8}, 2), v = normal({S, 2, 8}, 3);
  for (const auto& rule : kRules) {
    auto whole = rule_by_query(q, k, v, rule);
    Arrays queries;
    for (int length : lengths)
      queries.push_back(sequence(q, P + length - 1, P + length));
    auto tails = [&](const mx::array& x) {
      return mx::repeat(sequence(x, P, S), 3, 0);
    };
    auto step = decode_attention(
        mx::concatenate(queries, 0),
        {{sequence(k, 0, P), sequence(v, 0, P), 3}},
        tails(k),
        tails(v),
        lengths,
        rule);
    for (int r = 0; r < 3; ++r) {
      auto expected = sequence(whole, P + lengths[r] - 1, P + lengths[r]);
      EXPECT_LT(distance(row(step, r), expected), kTolerance)
          << r << " " << rule.window;
    }
  }
}

}  // namespace
}  // namespace pupil
