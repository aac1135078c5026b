// Logits and the gradient of every weight equal Transformers', on tiny random models of
// each family (tests/golden, made by tools/make_golden.py).

#include <gtest/gtest.h>

#include <numeric>

#include "models/attend.h"
#include "models/model.h"
#include "support/golden_families.h"

namespace pupil {
namespace {

std::string folder_of(const std::string& name) {
  return std::string(PUPIL_SOURCE_DIR) + "/tests/golden/" + name;
}

float max_difference(const mx::array& a, const mx::array& b) {
  return mx::max(mx::abs(a - b)).item<float>();
}

// Mean next-token cross-entropy of whole sequences.
mx::array next_token_loss(const Decoder& model, const mx::array& tokens) {
  int B = tokens.shape(0), T = tokens.shape(1);
  auto hidden =
      mx::slice(sequence_hidden(model, tokens), {0, 0, 0}, {B, T - 1, 1 << 20});
  auto logits = model.head(mx::reshape(hidden, {B * (T - 1), -1}));
  auto targets = mx::flatten(mx::slice(tokens, {0, 1}, {B, T}));
  auto picked = mx::take_along_axis(logits, mx::expand_dims(targets, 1), 1);
  return mx::mean(mx::logsumexp(logits, 1) - mx::squeeze(picked, 1));
}

class Golden : public ::testing::TestWithParam<std::string> {
 protected:
  Decoder model = load_decoder(folder_of(GetParam()));
  std::unordered_map<std::string, mx::array> golden =
      mx::load_safetensors(folder_of(GetParam()) + "/golden.safetensors").first;
};

TEST_P(Golden, LogitsEqualTransformers) {
  const auto& tokens = golden.at("tokens");
  const auto& expected = golden.at("logits");  // [B, T, V]
  auto hidden = sequence_hidden(model, tokens);
  auto logits = model.head(mx::reshape(hidden, {-1, model.config.hidden_size}));
  EXPECT_LT(max_difference(mx::reshape(logits, expected.shape()), expected), 1e-4f);
}

TEST_P(Golden, EveryGradientEqualsTransformers) {
  auto all = [](const std::string&) { return true; };
  auto paths = select_paths(model, all);
  std::vector<int> argnums(paths.size());
  std::iota(argnums.begin(), argnums.end(), 0);
  auto loss_of = [&](const std::vector<mx::array>& params) {
    Decoder copy = model;
    assign_parameters(copy, params, all);
    return next_token_loss(copy, golden.at("tokens"));
  };
  std::function<mx::array(const std::vector<mx::array>&)> fn = loss_of;
  auto [loss, grads] = mx::value_and_grad(fn, argnums)(select_parameters(model, all));
  EXPECT_NEAR(loss.item<float>(), golden.at("loss").item<float>(), 1e-5f);
  for (size_t i = 0; i < paths.size(); ++i) {
    const auto& expected = golden.at("grad." + paths[i]);
    float scale = mx::max(mx::abs(expected)).item<float>();
    EXPECT_LT(max_difference(grads[i], expected), 1e-5f + 1e-4f * scale) << paths[i];
  }
  // Tokens, logits, loss and greedy text; every gradient was compared.
  EXPECT_EQ(golden.size(), paths.size() + 4);
}

INSTANTIATE_TEST_SUITE_P(
    Families, Golden, ::testing::ValuesIn(testing::all_families()));

}  // namespace
}  // namespace pupil
