// Decoding of every family, on the tiny models of tests/golden: with a cache as
// without, alone as in a batch, and the text that Transformers writes.

#include <gtest/gtest.h>

#include "models/model.h"
#include "ops/support.h"
#include "rollout/decode_state.h"

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
  DecodeState state(model, {tokens(0, 8)}, 1, static_cast<int>(expected.size()));
  for (int i = 0; i < static_cast<int>(expected.size()); ++i) {
    auto best = mx::astype(mx::argmax(state.logits(), 1), mx::int32);
    auto reference = mx::slice(expected, {i}, {i + 1});
    ASSERT_EQ(best.item<int>(), reference.item<int>()) << "token " << i;
    state.feed(best);
  }
}

// Prompts shorter and longer than the window, rows of each, and one that leaves.
TEST_P(FamilyDecoding, ACachedStepEqualsTheWholeSequence) {
  auto first = tokens(0, 20), second = tokens(1, 20);
  auto prompt = [](const std::vector<int>& ids, int length) {
    return std::vector<int>(ids.begin(), ids.begin() + length);
  };
  DecodeState batch(model, {prompt(first, 3), prompt(second, 9)}, 2, 11);
  DecodeState alone(model, {prompt(second, 9)}, 1, 11);
  auto first_logits = whole(first), second_logits = whole(second);
  for (int t = 0; t < 11; ++t) {
    int last = batch.num_rows() - 1;
    EXPECT_LT(
        distance(row_of(batch.logits(), 0), row_of(first_logits, 2 + t)), kRounding);
    auto expected = row_of(second_logits, 8 + t);
    EXPECT_LT(distance(row_of(batch.logits(), last), expected), kRounding) << t;
    EXPECT_LT(distance(alone.logits(), expected), kRounding) << t;
    int a = first[3 + t], b = second[9 + t];
    if (t == 5) batch.keep({0, 2, 3});
    batch.feed(fed(t < 5 ? std::vector{a, 0, 1, b} : std::vector{a, 1, b}));
    alone.feed(fed({b}));
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
    Families,
    FamilyDecoding,
    ::testing::Values(
        "llama_yarn",
        "mistral_window",
        "qwen3",
        "qwen3_moe",
        "gemma2",
        "gemma3_text",
        "phi3",
        "granite",
        "olmo2",
        "smollm3"));

}  // namespace
}  // namespace pupil
