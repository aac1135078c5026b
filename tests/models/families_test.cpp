// What each family needs beside its maths: adapters on its own modules, conversion, the
// text model within a multimodal one, and settings that are refused.

#include <gtest/gtest.h>

#include "base/json.h"
#include "models/adapters.h"
#include "models/attend.h"
#include "models/convert.h"
#include "models/model.h"
#include "ops/support.h"
#include "support/golden_families.h"
#include "support/temp_dir.h"
#include "support/tiny_checkpoint.h"

namespace pupil {
namespace {

using nlohmann::json;
using testing::has;
using testing::refusal;
namespace fs = std::filesystem;

fs::path golden_dir(const std::string& name) {
  return fs::path(PUPIL_SOURCE_DIR) / "tests/golden" / name;
}

json config_of(const std::string& name) {
  return read_json_file(golden_dir(name) / "config.json");
}

std::string error(const json& config) {
  return refusal([&] { parse_model_config(config, "config.json"); });
}

mx::array logits(const Decoder& model) {
  std::vector<int> ids = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3};
  auto hidden = sequence_hidden(model, mx::array(ids.data(), {1, 10}, mx::int32));
  return model.head(mx::reshape(hidden, {10, -1}));
}

bool same(const mx::array& a, const mx::array& b) {
  return mx::array_equal(a, b).item<bool>();
}

void convert(const fs::path& from, const fs::path& to) {
  ConvertOptions options;
  options.from = from;
  options.to = to;
  convert_model(options, [](size_t, size_t, int64_t) {});
}

const std::vector<std::string> kNames = testing::families_beyond_llama();
constexpr const char* kEverything = "all_linear,experts";

// Noise in place of the zeros of a fresh adapter.
Decoder adapted(const std::string& name) {
  auto model = load_decoder(golden_dir(name));
  attach_lora(model, {.rank = 2, .keys = kEverything}, 1);
  uint64_t seed = 0;
  for_each_adapter(model, [&](const std::string&, std::optional<Lora>& lora) {
    lora->b = 0.3f * ops_test::normal(lora->b.shape(), ++seed);
  });
  return model;
}

TEST(Families, AnAdapterComesBack) {
  for (const auto& name : kNames) {
    testing::TempDir dir;
    auto model = adapted(name);
    save_adapter_tensors(model, dir.path() / "adapters.safetensors");
    testing::write_text(
        dir.path() / "adapter_config.json",
        adapter_config_text({.rank = 2, .keys = kEverything}, model, "m"));
    auto loaded = load_decoder(golden_dir(name));
    EXPECT_FALSE(same(logits(loaded), logits(model))) << name;
    load_adapters(loaded, dir.path());
    EXPECT_TRUE(same(logits(loaded), logits(model))) << name;
  }
}

TEST(Families, AdaptersGoOnTheModulesThatAreThere) {
  auto keys = [](const std::string& name, const std::string& listed) {
    std::string text;
    for (const auto& key : listed_keys(listed, load_decoder(golden_dir(name))))
      text += key + " ";
    return text;
  };
  EXPECT_EQ(
      keys("phi3", "all_linear"),
      "self_attn.qkv_proj self_attn.o_proj mlp.gate_up_proj mlp.down_proj ");
  EXPECT_TRUE(has(keys("qwen3_moe", "all_linear"), " mlp.gate mlp.gate_proj "));
  EXPECT_EQ(
      keys("qwen3_moe", "experts"),
      "mlp.switch_mlp.gate_proj mlp.switch_mlp.up_proj mlp.switch_mlp.down_proj ");
  EXPECT_EQ(keys("llama", "experts"), "");
  EXPECT_TRUE(has(keys("gemma2", "all"), " post_feedforward_layernorm "));
  EXPECT_TRUE(has(keys("qwen3", "all"), " self_attn.q_norm self_attn.k_norm "));
  auto model = load_decoder(golden_dir("phi3"));
  auto text = refusal([&] { attach_lora(model, {.keys = "self_attn.q_proj"}, 1); });
  EXPECT_TRUE(has(text, "known: all_linear, self_attn.qkv_proj")) << text;
}

// Blocks that run again in the backward pass give the same gradients.
TEST(Families, RecomputedBlocksHaveTheSameGradients) {
  for (const auto& name : kNames) {
    auto model = adapted(name);
    auto gradients = [&](bool recompute) {
      model.recompute_blocks = recompute;
      auto loss = [&](const std::vector<mx::array>& arrays) {
        auto copy = model;
        assign_trained(copy, arrays);
        return mx::sum(mx::square(logits(copy)));
      };
      std::function<mx::array(const std::vector<mx::array>&)> fn = loss;
      auto arrays = trained_arrays(model);
      std::vector<int> all;
      for (size_t i = 0; i < arrays.size(); ++i) all.push_back(static_cast<int>(i));
      return mx::grad(fn, all)(arrays);
    };
    auto kept = gradients(false), again = gradients(true);
    for (size_t i = 0; i < kept.size(); ++i)
      EXPECT_LT(ops_test::distance(again[i], kept[i]), 1e-5f) << name;
  }
}

TEST(Families, AConvertedModelIsTheSame) {
  for (const auto& name : kNames) {
    testing::TempDir dir;
    testing::put_tokenizer(dir.path() / "from");
    for (const char* file : {"config.json", "model.safetensors"})
      fs::copy(golden_dir(name) / file, dir.path() / "from" / file);
    convert(dir.path() / "from", dir.path() / "to");
    auto converted = load_decoder(dir.path() / "to");
    EXPECT_TRUE(same(logits(converted), logits(load_decoder(golden_dir(name)))))
        << name;
  }
}

TEST(Families, ExpertsAreStackedAsMlxLmHasThem) {
  testing::TempDir dir;
  testing::put_tokenizer(dir.path() / "from");
  for (const char* file : {"config.json", "model.safetensors"})
    fs::copy(golden_dir("qwen3_moe") / file, dir.path() / "from" / file);
  convert(dir.path() / "from", dir.path() / "to");
  auto tensors = mx::load_safetensors(dir.path() / "to/model.safetensors").first;
  const std::string name = "model.layers.0.mlp.switch_mlp.up_proj.weight";
  EXPECT_EQ(tensors.at(name).shape(), (mx::Shape{4, 12, 16}));
  auto config = read_json_file(dir.path() / "to/config.json");
  EXPECT_EQ(config["num_experts"], 4);
  EXPECT_EQ(config["rope_theta"], 10000.0);
}

TEST(Families, AnAdapterOfExpertsIsTheirSum) {
  auto model = adapted("qwen3_moe"), merged = model;
  auto expected = logits(model);
  for (auto& layer : merged.model.layers) {
    if (!layer.sparse_mlp) continue;
    auto& experts = layer.sparse_mlp->switch_mlp;
    for (auto* linear : {&experts.gate_proj, &experts.up_proj, &experts.down_proj}) {
      auto scaled = mx::array(linear->lora->scale) * linear->lora->b;
      linear->weight = linear->weight + mx::matmul(scaled, linear->lora->a);
      linear->lora.reset();
    }
  }
  EXPECT_LT(ops_test::distance(logits(merged), expected), 1e-4f);
  EXPECT_GT(
      ops_test::distance(logits(load_decoder(golden_dir("qwen3_moe"))), expected),
      0.1f);
}

TEST(Families, ExpertsHaveNoDora) {
  auto model = load_decoder(golden_dir("qwen3_moe"));
  LoraConfig config{.fine_tune_type = "dora", .keys = "experts"};
  auto text = refusal([&] { attach_lora(model, config, 1); });
  EXPECT_TRUE(has(text, "[lora] fine_tune_type dora: mlp.switch_mlp.gate_proj"))
      << text;
}

TEST(Families, PackedExpertsAreTheirDenseOnes) {
  auto config = parse_model_config(config_of("qwen3_moe"), "").decoder;
  config.experts.intermediate_size = config.hidden_size = 32;
  auto stack = ops_test::normal({4, 32, 32}, 1);
  auto parts = mx::quantize(stack, 32, 4);
  Checkpoint::Tensors packed, dense;
  for (const char* part : {"gate_proj", "up_proj", "down_proj"}) {
    auto module = std::string("mlp.switch_mlp.") + part;
    packed.emplace(module + ".weight", parts.at(0));
    packed.emplace(module + ".scales", parts.at(1));
    packed.emplace(module + ".biases", parts.at(2));
    dense.emplace(
        module + ".weight",
        mx::dequantize(parts.at(0), parts.at(1), parts.at(2), 32, 4));
  }
  auto router = ops_test::normal({4, 32}, 2), x = ops_test::normal({7, 32}, 3);
  packed.emplace("mlp.gate.weight", router);
  dense.emplace("mlp.gate.weight", router);
  Checkpoint of_packed(packed, {{"", {32, 4}}}, "m"), of_dense(dense, {}, "m");
  SparseMlp ours(of_packed, "mlp", config), expected(of_dense, "mlp", config);
  EXPECT_LT(ops_test::distance(ours(x), expected(x)), 1e-4f);
}

// Gemma 3 with a vision tower, as the hub's files name it.
TEST(Families, TheTextModelOfAMultimodalOneIsFound) {
  testing::TempDir dir;
  auto from = dir.path() / "from";
  testing::put_tokenizer(from);
  auto text = config_of("gemma3_text");
  json config = {
      {"model_type", "gemma3"},
      {"text_config", text},
      {"vision_config", json::object()}};
  testing::write_text(from / "config.json", config.dump());
  Checkpoint::Tensors named;
  auto tensors =
      mx::load_safetensors(golden_dir("gemma3_text") / "model.safetensors").first;
  for (const auto& [name, tensor] : tensors)
    named.emplace("language_model." + name, tensor);
  named.emplace("vision_tower.weight", mx::ones({2, 2}));
  mx::save_safetensors(from / "model.safetensors", named);

  auto expected = logits(load_decoder(golden_dir("gemma3_text")));
  auto model = load_decoder(from);
  EXPECT_TRUE(same(logits(model), expected));
  EXPECT_EQ(model.config.name_prefix, "language_model.");  // of its adapters
  convert(from, dir.path() / "to");
  EXPECT_TRUE(same(logits(load_decoder(dir.path() / "to")), expected));
  EXPECT_EQ(read_json_file(dir.path() / "to/config.json")["model_type"], "gemma3_text");
}

TEST(Families, SettingsThatWeDoNotHaveAreRefused) {
  auto refused = [](const char* name, const char* key, const json& value) {
    auto config = config_of(name);
    config[key] = value;
    return error(config);
  };
  EXPECT_TRUE(
      has(refused("qwen3", "layer_types", {"chunked_attention", 1}), "chunked"));
  EXPECT_TRUE(has(refused("qwen3", "layer_types", {"full_attention"}), "one type"));
  EXPECT_TRUE(has(refused("qwen3_moe", "use_sliding_window", true), "no windows"));
  EXPECT_TRUE(has(refused("gemma2", "sliding_window", nullptr), "sliding_window"));
  EXPECT_TRUE(has(refused("gemma2", "hidden_activation", "gelu"), "gelu_pytorch_tanh"));
  EXPECT_TRUE(has(
      refused("gemma3_text", "use_bidirectional_attention", true), "bidirectional"));
  EXPECT_TRUE(has(refused("smollm3", "no_rope_layers", {1, 2}), "no_rope_layers"));
  EXPECT_TRUE(has(refused("smollm3", "no_rope_layers", {1}), "each layer"));
  EXPECT_TRUE(
      has(refused("qwen3_moe", "num_experts_per_tok", 5), "num_experts_per_tok"));
  EXPECT_TRUE(has(refused("phi3", "mlp_bias", true), "mlp_bias"));
  auto phi = config_of("phi3");
  phi["rope_parameters"]["short_factor"] = {1, 2};
  EXPECT_TRUE(has(error(phi), "short_factor"));
  EXPECT_TRUE(has(error({{"model_type", "gemma3"}}), "text_config"));
}

TEST(Families, WindowsAreByLayer) {
  auto windows = [](json config) {
    std::vector<int> sizes;
    for (const auto& layer : parse_model_config(config, "").decoder.layers)
      sizes.push_back(layer.window);
    return sizes;
  };
  auto qwen = config_of("qwen3");
  EXPECT_EQ(windows(qwen), (std::vector{0, 5}));
  qwen.erase("layer_types");
  EXPECT_EQ(windows(qwen), (std::vector{0, 5}));  // max_window_layers is 1
  qwen["use_sliding_window"] = false;
  EXPECT_EQ(windows(qwen), (std::vector{0, 0}));
  auto gemma = config_of("gemma3_text");
  gemma.erase("layer_types");
  EXPECT_EQ(windows(gemma), (std::vector{5, 5, 0}));  // sliding_window_pattern is 3
  auto mistral = config_of("mistral_window");
  EXPECT_EQ(windows(mistral), (std::vector{5, 5}));
  mistral["sliding_window"] = nullptr;
  EXPECT_EQ(windows(mistral), (std::vector{0, 0}));
}

}  // namespace
}  // namespace pupil
