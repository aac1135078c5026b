// Adapter directories in mlx-lm's layout: what is written comes back, and
// what does not fit the model is refused and leaves it as it was.

#include "models/adapters.h"

#include "models/adapter_fixture.h"

namespace pupil {
namespace {

using nlohmann::json;
using testing::Adapters;
using testing::has;
using testing::logits;
using testing::noise;
using testing::same;
using testing::tiny_decoder;

TEST_F(Adapters, WhatIsSavedComesBack) {
  for (const LoraConfig& config :
       {LoraConfig{},
        LoraConfig{.rank = 3, .scale = 0.5f, .num_layers = 1},
        LoraConfig{.keys = "self_attn.q_proj, mlp.down_proj"},
        LoraConfig{.num_layers = 5, .keys = "mlp.up_proj,all_linear"},
        LoraConfig{.fine_tune_type = "dora", .rank = 3, .dropout = 0.1}}) {
    auto model = adapted(config);
    put(model, config);
    auto loaded = adapted({});  // another adapter, which is replaced
    load_adapters(loaded, dir());
    EXPECT_EQ(select_paths(loaded, is_lora), select_paths(model, is_lora));
    EXPECT_TRUE(same(logits(loaded), logits(model)));
    EXPECT_FALSE(same(logits(loaded), logits(tiny_decoder())));
    auto read = read_adapter_config(dir());
    EXPECT_EQ(read.fine_tune_type, config.fine_tune_type);
    EXPECT_EQ(read.dropout, config.dropout);
    EXPECT_EQ(read.rank, config.rank);
    EXPECT_EQ(read.scale, config.scale);
    EXPECT_EQ(read.num_layers, config.num_layers);
    EXPECT_EQ(listed_keys(read.keys, model), listed_keys(config.keys, model));
  }
}

TEST_F(Adapters, TheLayoutIsMlxLms) {
  LoraConfig config{
      .rank = 3, .scale = 0.5f, .num_layers = 1, .keys = " mlp.up_proj ,"};
  put(adapted(config), config);
  auto tensors = mx::load_safetensors(dir() + "/adapters.safetensors").first;
  ASSERT_EQ(tensors.size(), 2u);  // of the last layer
  const auto& a = tensors.at("model.layers.1.mlp.up_proj.lora_a");
  const auto& b = tensors.at("model.layers.1.mlp.up_proj.lora_b");
  EXPECT_EQ(a.shape(), (mx::Shape{32, 3}));
  EXPECT_EQ(b.shape(), (mx::Shape{3, 64}));
  EXPECT_EQ(a.dtype(), mx::float32);
  auto text = json::parse(testing::read_text(dir() + "/adapter_config.json"));
  EXPECT_EQ(text["fine_tune_type"], "lora");
  EXPECT_EQ(text["num_layers"], 1);
  json parameters = {
      {"rank", 3}, {"scale", 0.5}, {"dropout", 0.0}, {"keys", {"mlp.up_proj"}}};
  EXPECT_EQ(text["lora_parameters"], parameters);
}

TEST_F(Adapters, TheScaleOfRsLoraIsWrittenOut) {
  LoraConfig config{.rank = 4, .scale = 1.5f, .use_rslora = true};
  auto model = adapted(config);
  put(model, config);
  EXPECT_EQ(read_adapter_config(dir()).scale, 3.0f);  // 1.5 sqrt(4)
  auto loaded = tiny_decoder();
  load_adapters(loaded, dir());
  EXPECT_TRUE(same(logits(loaded), logits(model)));
}

// The lengths are those of the whole matrix, dense or packed.
TEST_F(Adapters, DoraLengthsAreThoseOfTheSum) {
  auto config = testing::tiny_config();
  auto tensors = testing::tiny_tensors(config, 3);
  for (bool packed : {false, true}) {
    std::map<std::string, Quantization> packing;
    auto source = tensors;
    const std::string scope = "model.layers.0.mlp.up_proj";
    auto weight = source.at(scope + ".weight");
    if (packed) {
      auto parts = mx::quantize(weight, 32, 4);
      source.insert_or_assign(scope + ".weight", parts.at(0));
      source.insert_or_assign(scope + ".scales", parts.at(1));
      source.insert_or_assign(scope + ".biases", parts.at(2));
      packing[scope] = {32, 4};
      weight = mx::dequantize(parts.at(0), parts.at(1), parts.at(2), 32, 4);
    }
    Decoder model(Checkpoint(source, packing, "tiny"), config, mx::float32);
    attach_lora(model, {.fine_tune_type = "dora", .rank = 3, .scale = 1.5f}, 1);
    auto& up = *model.model.layers[0].mlp->up_proj;
    auto length = [](const mx::array& rows) {
      return mx::sqrt(mx::sum(mx::square(rows), 1));
    };
    EXPECT_TRUE(mx::allclose(up.lora->magnitude->m, length(weight), 1e-5).item<bool>());
    up.lora->b = noise(up.lora->b.shape(), 5);
    update_norms(model);
    auto sum = weight + 1.5f * mx::transpose(mx::matmul(up.lora->a, up.lora->b));
    EXPECT_TRUE(mx::allclose(up.lora->magnitude->norm, length(sum), 1e-5).item<bool>());
    auto x = noise({5, 32}, 6);
    auto direction = sum / mx::expand_dims(length(sum), 1);
    auto expected = mx::matmul(x, mx::transpose(direction)) * up.lora->magnitude->m;
    EXPECT_TRUE(mx::allclose(up(x), expected, 1e-4, 1e-5).item<bool>());
  }
}

TEST_F(Adapters, WholeWeightsComeBack) {
  LoraConfig config{.fine_tune_type = "full", .num_layers = 1, .keys = "all"};
  auto model = tiny_decoder();
  attach_lora(model, config, 1);
  auto arrays = trained_arrays(model);
  EXPECT_EQ(arrays.size(), 7 + 2u);  // linears and norms of the last layer
  for (size_t i = 0; i < arrays.size(); ++i)
    arrays[i] = arrays[i] + noise(arrays[i].shape(), i);
  assign_trained(model, arrays);
  put(model, config);
  auto loaded = adapted({});
  load_adapters(loaded, dir());
  EXPECT_TRUE(same(logits(loaded), logits(model)));
  EXPECT_EQ(trained_paths(loaded), trained_paths(model));
  EXPECT_EQ(read_adapter_config(dir()).fine_tune_type, "full");
}

TEST_F(Adapters, PackedWeightsAreNotTrainedWhole) {
  auto config = testing::tiny_config();
  auto tensors = testing::tiny_tensors(config, 3);
  const std::string scope = "model.layers.0.mlp.up_proj";
  auto parts = mx::quantize(tensors.at(scope + ".weight"), 32, 4);
  tensors.insert_or_assign(scope + ".weight", parts.at(0));
  tensors.insert_or_assign(scope + ".scales", parts.at(1));
  tensors.insert_or_assign(scope + ".biases", parts.at(2));
  Decoder model(Checkpoint(tensors, {{scope, {32, 4}}}, "tiny"), config, mx::float32);
  auto text =
      testing::refusal([&] { attach_lora(model, {.fine_tune_type = "full"}, 1); });
  EXPECT_TRUE(has(text, scope + ".weight is packed")) << text;
  EXPECT_TRUE(has(text, "convert without -q")) << text;
  LoraConfig norms{.keys = "input_layernorm"};
  EXPECT_TRUE(
      has(testing::refusal([&] { attach_lora(model, norms, 1); }), "for an adapter"));
}

TEST_F(Adapters, AnMlxLmDumpOfAllArgumentsIsRead) {
  LoraConfig config{.rank = 8, .scale = 20.0f, .num_layers = 16};
  auto model = adapted(config);
  put(model, config);
  put(json{
      {"model", "x"},
      {"train", true},
      {"iters", 100},
      {"adapter_path", "adapters"},
      {"lora_parameters", {{"rank", 8}, {"scale", 20.0}, {"dropout", 0.1}}}});
  auto loaded = tiny_decoder();
  load_adapters(loaded, dir());
  EXPECT_TRUE(same(logits(loaded), logits(model)));
}

TEST_F(Adapters, TensorsThatDoNotFitAreNamed) {
  LoraConfig config;
  put(adapted(config), config);
  auto whole = mx::load_safetensors(dir() + "/adapters.safetensors").first;
  const std::string name = "model.layers.0.mlp.up_proj.lora_a";
  auto change = [&](auto&& edit) {
    auto tensors = whole;
    edit(tensors);
    mx::save_safetensors(dir() + "/adapters.safetensors", tensors);
    return error();
  };
  EXPECT_TRUE(has(change([&](auto& t) { t.erase(name); }), "missing tensor '" + name));
  EXPECT_TRUE(
      has(change([&](auto& t) { t.emplace("model.layers.2.x.lora_a", t.at(name)); }),
          "'model.layers.2.x.lora_a'"));
  EXPECT_TRUE(
      has(change([&](auto& t) { t.at(name) = mx::transpose(t.at(name)); }),
          "'" + name + "'"));
  EXPECT_TRUE(
      has(change([&](auto& t) { t.at(name) = mx::astype(t.at(name), mx::int32); }),
          "holds int32, expected floating point"));
  auto text = testing::read_text(dir() + "/adapters.safetensors");
  testing::write_text(dir() + "/adapters.safetensors", text.substr(0, text.size() - 4));
  EXPECT_NE(error(), "accepted");
  std::filesystem::remove(dir() + "/adapters.safetensors");
  EXPECT_TRUE(has(error(), "adapters.safetensors"));
}

TEST_F(Adapters, ConfigurationsThatDoNotFitAreRefused) {
  LoraConfig config;
  put(adapted(config), config);
  auto good = json::parse(testing::read_text(dir() + "/adapter_config.json"));
  auto change = [&](const char* pointer, const json& value) {
    auto changed = good;
    changed[json::json_pointer(pointer)] = value;
    put(changed);
    return testing::refusal([&] {
      auto model = tiny_decoder();
      load_adapters(model, dir());
    });
  };
  EXPECT_EQ(change("/model", "elsewhere"), "accepted");
  EXPECT_TRUE(has(change("/fine_tune_type", "ia3"), "known: lora"));
  EXPECT_TRUE(has(change("/num_layers", "all"), "num_layers: expected"));
  EXPECT_TRUE(has(change("/num_layers", 0), "nothing to train"));
  EXPECT_TRUE(has(change("/num_layers", 1), "unexpected tensor"));
  EXPECT_TRUE(has(change("/lora_parameters", nullptr), "is missing"));
  EXPECT_TRUE(has(change("/lora_parameters/rank", 0), "rank: expected"));
  EXPECT_TRUE(has(change("/lora_parameters/rank", 4), "lora_a' has shape"));
  EXPECT_TRUE(has(change("/lora_parameters/scale", "big"), "scale: expected"));
  EXPECT_TRUE(
      has(change("/lora_parameters/keys", {"mlp.gate"}), "no module 'mlp.gate'"));
  EXPECT_TRUE(has(change("/lora_parameters/keys", {1}), "list of module names"));
  EXPECT_TRUE(has(change("/lora_parameters/keys", json::array()), "selects no module"));
  std::filesystem::remove(dir() + "/adapter_config.json");
  EXPECT_TRUE(has(error(), "adapter_config.json"));
}

}  // namespace
}  // namespace pupil
