// An operation on no rows gives none, on the CPU's way and by its definition.

#include <gtest/gtest.h>

#include "ops/attention.h"
#include "ops/linear.h"
#include "ops/rope.h"
#include "ops/sample.h"
#include "ops/support.h"
#include "ops/token_stats.h"

namespace pupil {
namespace {

using ops_test::normal;
using ops_test::quantized;

void expect_none(mx::array x, const mx::Shape& shape) {
  x.eval();
  EXPECT_EQ(x.shape(), shape);
}

TEST(EmptyInputs, RopeOfNoTokens) {
  auto x = mx::zeros({0, 3, 8});
  auto table = rope_table(mx::zeros({0}, mx::int32), mx::ones({4}));
  expect_none(rope(x, table), x.shape());
  expect_none(rope_fallback(x, table), x.shape());
  auto loss = [&](const mx::array& in) { return mx::sum(rope(in, table)); };
  expect_none(mx::grad(loss)(x), x.shape());
}

TEST(EmptyInputs, NoTokenIsDrawnFromNoRows) {
  auto logits = mx::zeros({0, 50}), uniforms = mx::zeros({0});
  for (const auto& t :
       {Truncation{}, {0.0f}, {1.0f, 3}, {1.0f, 0, 0.9f}, {1.0f, 0, 1.0f, 0.1f}})
    for (const auto& drawn :
         {sample_tokens(logits, uniforms, t),
          sample_tokens_fallback(logits, uniforms, t)}) {
      expect_none(drawn.tokens, {0});
      expect_none(drawn.logprobs, {0});
      EXPECT_EQ(drawn.tokens.dtype(), mx::int32);
    }
}

TEST(EmptyInputs, StatisticsOfNoTokens) {
  auto logits = mx::zeros({0, 50});
  auto targets = mx::zeros({0}, mx::int32);
  for (const auto& stats :
       {token_stats(logits, targets, 0.7f, true),
        token_stats_fallback(logits, targets, 0.7f, true)}) {
    expect_none(stats.logprobs, {0});
    expect_none(stats.entropy, {0});
    expect_none(*stats.gradient, {0, 50});
  }
}

TEST(EmptyInputs, NoRowsOfAPackedTable) {
  auto table = quantized(normal({40, 64}, 1), 32, 4, mx::float16);
  for (const auto& w : {table, prepared(table)})
    for (const mx::Shape& ids : {mx::Shape{0}, {3, 0}}) {
      auto shape = ids;
      shape.push_back(64);
      auto rows = quantized_rows(w, mx::zeros(ids, mx::int32), mx::float32);
      expect_none(rows, shape);
    }
}

// With the kernel, and with the operations that a window takes.
const AttentionRule kRules[] = {{0.3f}, {0.3f, 2}};

TEST(EmptyInputs, ADecodeStepOfNoRows) {
  auto q = mx::zeros({0, 4, 1, 8}), tail = mx::zeros({0, 2, 3, 8});
  auto prompt = normal({1, 2, 5, 8}, 1);
  for (const auto& rule : kRules) {
    expect_none(decode_attention(q, {}, tail, tail, {}, rule), q.shape());
    expect_none(
        decode_attention(q, {{prompt, prompt, 0}}, tail, tail, {}, rule), q.shape());
  }
}

TEST(EmptyInputs, AttentionOfNoNewTokens) {
  auto q = mx::zeros({0, 6, 32});
  for (const auto& rule : kRules) expect_none(grown_attention(q, {}, rule), q.shape());
  expect_none(grown_attention_fallback(q, {}, 0.3f), q.shape());
}

}  // namespace
}  // namespace pupil
