#include "models/decoder.h"

#include <gtest/gtest.h>

#include "models/attend.h"
#include "models/lora.h"
#include "support/tiny_model.h"

namespace pupil {
namespace {

using testing::tiny_config;
using testing::tiny_decoder;

float max_difference(const mx::array& a, const mx::array& b) {
  return mx::max(mx::abs(a - b)).item<float>();
}

mx::array some_tokens(const mx::Shape& shape, uint64_t seed) {
  return mx::random::randint(0, 48, shape, mx::int32, mx::random::key(seed));
}

TEST(Decoder, VisitNamesEveryTensorAsOnDisk) {
  auto model = tiny_decoder();
  auto paths = select_paths(model, [](const std::string&) { return true; });
  auto tensors = testing::tiny_tensors(tiny_config(), 0);
  EXPECT_EQ(paths.size(), tensors.size());
  for (const auto& path : paths) EXPECT_TRUE(tensors.contains(path)) << path;
}

TEST(Decoder, RefusesMissingMisshapenAndLeftoverTensors) {
  auto expect_error = [](Checkpoint::Tensors tensors, const std::string& part) {
    try {
      Decoder model(
          Checkpoint(std::move(tensors), {}, "m"), tiny_config(), mx::float32);
      FAIL() << "accepted; expected: " << part;
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << error.what();
    }
  };
  auto good = testing::tiny_tensors(tiny_config(), 0);
  auto missing = good;
  missing.erase("model.layers.1.mlp.up_proj.weight");
  expect_error(missing, "missing tensor 'model.layers.1.mlp.up_proj.weight'");
  auto extra = good;
  extra.emplace("model.layers.2.odd", mx::array(0.0f));
  expect_error(extra, "unexpected tensor 'model.layers.2.odd'");
  auto misshapen = good;
  misshapen.at("model.norm.weight") = mx::zeros({31});
  expect_error(misshapen, "'model.norm.weight' has shape (31)");
}

TEST(Checkpoint, RefusesDenseWeightsThatAreSaidToBePacked) {
  auto complaint = [](Checkpoint::Tensors tensors,
                      std::map<std::string, Quantization> packings) -> std::string {
    try {
      Checkpoint(std::move(tensors), std::move(packings), "m").expect_packed();
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  auto ones = mx::ones({1});
  Checkpoint::Tensors dense = {{"a.weight", ones}};
  Checkpoint::Tensors mixed = {
      {"a.weight", ones}, {"b.weight", ones}, {"b.scales", ones}};
  EXPECT_EQ(complaint(dense, {}), "");
  EXPECT_NE(complaint(dense, {{"", {64, 4}}}).find("no weight has scales"), -1ul);
  EXPECT_EQ(complaint(mixed, {{"", {64, 4}}}), "");  // a module may stay dense
  EXPECT_EQ(complaint(mixed, {{"", {64, 4}}, {"b", {32, 8}}}), "");
  EXPECT_NE(complaint(mixed, {{"", {64, 4}}, {"a", {32, 8}}}).find("'a'"), -1ul);
}

TEST(Decoder, PrefillEqualsWholeSequences) {
  auto model = tiny_decoder();
  std::vector<std::vector<int>> prompts = {{1, 2, 3}, {7}, {4, 5, 6, 7, 8, 9, 10}};
  std::vector<PrefixCache> caches(3);
  auto last = prefill(
      model,
      {{prompts[0], &caches[0]}, {prompts[1], &caches[1]}, {prompts[2], &caches[2]}});
  for (int i = 0; i < 3; ++i) {
    int T = static_cast<int>(prompts[i].size());
    auto alone =
        sequence_hidden(model, mx::array(prompts[i].data(), {1, T}, mx::int32));
    auto row = mx::slice(last, {i, 0}, {i + 1, 32});
    auto expected = mx::slice(mx::reshape(alone, {T, 32}), {T - 1, 0}, {T, 32});
    EXPECT_LT(max_difference(row, expected), 1e-5f);
    EXPECT_EQ(caches[i].k.size(), 2u);
    EXPECT_EQ(caches[i].k[0].shape(), (mx::Shape{1, 2, T, 8}));
  }
}

TEST(Decoder, BranchesEqualWholeSequences) {
  auto model = tiny_decoder(3);
  int P = 5, G = 3, T = 6;
  std::vector<int> lengths = {6, 1, 4};
  auto prompt = some_tokens({P}, 1), completions = some_tokens({G, T}, 2);
  auto shared = completion_hidden(model, prompt, completions, lengths);
  auto rows = mx::concatenate({mx::broadcast_to(prompt, {G, P}), completions}, 1);
  auto whole = sequence_hidden(model, rows);
  int begin = 0;
  for (int g = 0; g < G; ++g) {
    int end = begin + lengths[g];
    auto got = mx::slice(shared, {begin, 0}, {end, 32});
    auto expected = mx::slice(whole, {g, P - 1, 0}, {g + 1, P - 1 + lengths[g], 32});
    EXPECT_LT(max_difference(got, mx::squeeze(expected, 0)), 1e-5f);
    begin = end;
  }
  EXPECT_EQ(shared.shape(0), begin);
}

TEST(Decoder, OneTokenCompletionsNeedOnlyThePrompt) {
  auto model = tiny_decoder(3);
  auto prompt = some_tokens({4}, 1), completions = some_tokens({2, 1}, 2);
  auto hidden = completion_hidden(model, prompt, completions, {1, 1});
  EXPECT_EQ(hidden.shape(), (mx::Shape{2, 32}));
}

TEST(Lora, FreshAdapterChangesNothingAndComesOffAgain) {
  auto model = tiny_decoder();
  auto tokens = some_tokens({2, 7}, 5);
  auto before = sequence_hidden(model, tokens);
  attach_lora(model, {}, 11);
  EXPECT_EQ(select_paths(model, is_lora).size(), 2u * 7 * 2);
  EXPECT_EQ(max_difference(before, sequence_hidden(model, tokens)), 0.0f);

  auto params = select_parameters(model, is_lora);
  for (auto& p : params) p = p + 0.1f;
  assign_parameters(model, params, is_lora);
  EXPECT_GT(max_difference(before, sequence_hidden(model, tokens)), 1e-3f);
  auto reference = sequence_hidden(without_lora(model), tokens);
  EXPECT_EQ(max_difference(before, reference), 0.0f);
}

TEST(Lora, SelectsLayersAndKeys) {
  auto model = tiny_decoder();
  LoraConfig config;
  config.num_layers = 1;
  config.keys = "self_attn.q_proj, mlp.down_proj";
  attach_lora(model, config, 0);
  std::vector<std::string> expected = {
      "model.layers.1.self_attn.q_proj.lora_a",
      "model.layers.1.self_attn.q_proj.lora_b",
      "model.layers.1.mlp.down_proj.lora_a",
      "model.layers.1.mlp.down_proj.lora_b"};
  EXPECT_EQ(select_paths(model, is_lora), expected);
  config.keys = "self_attn.qproj";
  EXPECT_THROW(attach_lora(model, config, 0), std::invalid_argument);
}

// How often a block's attention is asked for in a forward and a backward pass.
int attention_calls(bool recompute) {
  auto model = tiny_decoder();
  attach_lora(model, {.rank = 4}, 1);
  model.recompute_blocks = recompute;
  int calls = 0;
  AttendFn attend = [&](int, const mx::array& q, const mx::array&, const mx::array&) {
    ++calls;
    return q;
  };
  std::function<mx::array(const mx::array&)> loss = [&](const mx::array& lora_a) {
    auto copy = model;
    copy.model.layers[0].self_attn.q_proj->lora->a = lora_a;
    return mx::sum(copy(some_tokens({5}, 1), mx::arange(5), attend));
  };
  mx::grad(loss)(model.model.layers[0].self_attn.q_proj->lora->a).eval();
  return calls;
}

TEST(Decoder, RecomputedBlocksRunAgainInTheBackwardPass) {
  EXPECT_EQ(attention_calls(false), tiny_config().num_layers);
  EXPECT_EQ(attention_calls(true), 2 * tiny_config().num_layers);
}

}  // namespace
}  // namespace pupil
