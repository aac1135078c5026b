// Decoding of every family, on the tiny models of tests/golden: with a cache as
// without, alone as in a batch, and the text that Transformers writes.

#include <gtest/gtest.h>

#include "models/model.h"
#include "ops/support.h"
#include "rollout/decode_state.h"
#include "support/golden_families.h"

namespace pupil {
namespace {

using ops_test::distance;

constexpr float kRounding = 5e-5f;  // logits of about 10, sums in another order

class FamilyDecoding : public ::testing::TestWithParam<std::string> {
 protected:
  std::string folder = std::string(PUPIL_SOURCE_DIR) + "/tests/golden/" + GetParam();
  Decoder model = load_decoder(folder);
  std::unordered_map<std::string, mx::array> golden =
      mx::load_safetensors(folder + "/golden.safetensors").first;

  // The first `count` tokens of row `row`.
  std::vector<int> tokens(int row, int count) const {
    auto ids =
        mx::contiguous(mx::slice(golden.at("tokens"), {row, 0}, {row + 1, count}));
    ids.eval();
    return {ids.data<int>(), ids.data<int>() + count};
  }

  // Logits after each token of one sequence, [T, V].
  mx::array whole(const std::vector<int>& ids) const {
    int T = static_cast<int>(ids.size());
    auto hidden = sequence_hidden(model, mx::array(ids.data(), {1, T}, mx::int32));
    return model.head(mx::reshape(hidden, {T, -1}));
  }
};

mx::array fed(const std::vector<int>& ids) {
  return mx::array(ids.data(), {static_cast<int>(ids.size())}, mx::int32);
}

mx::array row_of(const mx::array& x, int row) {
  return mx::slice(x, {row, 0}, {row + 1, x.shape(1)});
}

TEST_P(FamilyDecoding, GreedyTextIsTransformers) {
  const auto& expected = golden.at("greedy");
  int count = static_cast<int>(expected.size());
  DecodeState state(model, 8 + count);
  auto logits = state.add({tokens(0, 8)}, 1);
  for (int i = 0; i < count; ++i) {
    auto best = mx::astype(mx::argmax(logits, 1), mx::int32);
    auto reference = mx::slice(expected, {i}, {i + 1});
    ASSERT_EQ(best.item<int>(), reference.item<int>()) << "token " << i;
    logits = state.feed(best);
  }
}

// Prompts shorter and longer than the window, rows of each, one that leaves, and a
// prompt that joins later.
TEST_P(FamilyDecoding, ACachedStepEqualsTheWholeSequence) {
  auto first = tokens(0, 20), second = tokens(1, 20);
  auto prompt = [](const std::vector<int>& ids, int length) {
    return std::vector<int>(ids.begin(), ids.begin() + length);
  };
  auto first_logits = whole(first), second_logits = whole(second);
  DecodeState batch(model, 20), alone(model, 20);
  auto logits = batch.add({prompt(first, 3)}, 2);
  for (int t = 0; t < 3; ++t) logits = batch.feed(fed({first[3 + t], t}));
  auto joined = batch.add({prompt(second, 9)}, 2),
       single = alone.add({prompt(second, 9)}, 1);
  EXPECT_LT(distance(row_of(joined, 1), row_of(second_logits, 8)), kRounding);
  EXPECT_LT(distance(single, row_of(second_logits, 8)), kRounding);
  for (int t = 0; t < 11; ++t) {
    int a = first[6 + t], b = second[9 + t];
    if (t == 5) batch.keep({0, 2, 3});
    logits = batch.feed(fed(t < 5 ? std::vector{a, 0, 1, b} : std::vector{a, 1, b}));
    int last = batch.num_rows() - 1;
    EXPECT_LT(distance(row_of(logits, 0), row_of(first_logits, 6 + t)), kRounding) << t;
    auto expected = row_of(second_logits, 9 + t);
    EXPECT_LT(distance(row_of(logits, last), expected), kRounding) << t;
    EXPECT_LT(distance(alone.feed(fed({b})), expected), kRounding) << t;
  }
}

TEST_P(FamilyDecoding, BranchesEqualWholeSequences) {
  auto ids = tokens(0, 20);
  auto row = mx::array(ids.data(), {20}, mx::int32);
  auto prompt = mx::slice(row, {0}, {7}), own = mx::slice(row, {7}, {20});
  auto other = mx::slice(fed(tokens(1, 20)), {7}, {20});
  auto hidden = completion_hidden(model, prompt, mx::stack({other, own}, 0), {4, 13});
  auto got = model.head(mx::slice(hidden, {4, 0}, {17, hidden.shape(1)}));
  auto expected = mx::slice(whole(ids), {6, 0}, {19, model.config.vocab_size});
  EXPECT_LT(distance(got, expected), kRounding);
}

INSTANTIATE_TEST_SUITE_P(
    Families, FamilyDecoding, ::testing::ValuesIn(testing::all_families()));

}  // namespace
}  // namespace pupil
