// Hugging Face directories to MLX directories: what is cast, packed, copied, refused.

#include "models/convert.h"

#include <fstream>

#include "models/convert_fixture.h"
#include "models/model.h"
#include "models/model_writer.h"

namespace pupil {
namespace {

using nlohmann::json;
using testing::has;
using testing::same;
using Convert = testing::ConvertTest;
namespace fs = std::filesystem;

TEST_F(Convert, DenseTensorsAreCastOrKept) {
  auto tensors = put();
  change_config({{"dtype", "float32"}});
  for (auto dtype : std::vector<std::optional<mx::Dtype>>{
           {}, mx::float32, mx::bfloat16, mx::float16}) {
    fs::remove_all(to());
    auto wanted = options();
    wanted.dtype = dtype;
    auto summary = convert(wanted);
    auto found = written();
    EXPECT_EQ(found.size(), tensors.size());
    EXPECT_EQ(summary.total().tensors, static_cast<int>(tensors.size()));
    for (const auto& [name, tensor] : tensors) {
      auto expected = mx::astype(tensor, dtype.value_or(mx::float32));
      EXPECT_TRUE(same(found.at(name), expected)) << name;
    }
    EXPECT_FALSE(config().contains("quantization"));
    auto text = dtype == mx::bfloat16  ? "bfloat16"
                : dtype == mx::float16 ? "float16"
                                       : "float32";
    EXPECT_EQ(config()["torch_dtype"], text);
    EXPECT_EQ(config().value("dtype", text), text);
  }
}

TEST_F(Convert, SourcesOfEveryFloatTypeAreKept) {
  for (auto dtype : {mx::float16, mx::bfloat16}) {
    auto tensors = put();
    change_config({{"torch_dtype", nullptr}});
    for (auto& [_, tensor] : tensors) tensor = mx::astype(tensor, dtype);
    mx::save_safetensors(from() / "model.safetensors", tensors);
    fs::remove_all(to());
    convert(options());
    for (const auto& [name, tensor] : written()) {
      EXPECT_TRUE(same(tensor, tensors.at(name))) << name;
    }
  }
}

TEST_F(Convert, FloatsGetTheTypeThatTheConfigurationClaims) {
  auto tensors = put();
  change_config({{"torch_dtype", "bfloat16"}});
  convert(options());
  for (const auto& [name, tensor] : written())
    EXPECT_TRUE(same(tensor, mx::astype(tensors.at(name), mx::bfloat16))) << name;
}

TEST_F(Convert, TheModelAndItsTokenizerLoadAndSayTheSame) {
  auto tensors = put();
  testing::write_text(from() / "generation_config.json", R"({"eos_token_id":[1,0]})");
  change_config(
      {{"auto_map", {{"AutoModel", "evil.Model"}}}, {"model_file", "evil.py"}});
  convert(options());
  for (const char* name :
       {"tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "generation_config.json"}) {
    EXPECT_EQ(testing::read_text(to() / name), testing::read_text(from() / name))
        << name;
  }
  EXPECT_FALSE(config().contains("auto_map"));  // names of code that others would run
  EXPECT_FALSE(config().contains("model_file"));
  auto model = load_model(to());
  EXPECT_EQ(model.eos_ids, (std::vector<int>{1, 0}));
  auto loaded = model.decoder.model.layers[0].mlp->up_proj->base.weight;
  EXPECT_TRUE(same(loaded, tensors.at("model.layers.0.mlp.up_proj.weight")));
}

TEST_F(Convert, ShardsWithAnIndexAreOneModel) {
  auto tensors = put();
  fs::remove(from() / "model.safetensors");
  std::array<Checkpoint::Tensors, 3> shards;
  json map;
  int next = 0;
  for (const auto& [name, tensor] : tensors) {
    int shard = next++ % 3;
    shards[shard].emplace(name, tensor);
    map[name] = "part-" + std::to_string(shard) + ".safetensors";
  }
  for (int i = 0; i < 3; ++i) {
    mx::save_safetensors(
        from() / ("part-" + std::to_string(i) + ".safetensors"), shards[i]);
  }
  testing::write_text(
      from() / "model.safetensors.index.json", json{{"weight_map", map}}.dump());
  convert(options());
  EXPECT_FALSE(fs::exists(to() / "model.safetensors.index.json"));
  auto found = written();
  ASSERT_EQ(found.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(same(found.at(name), tensor));

  fs::remove_all(to());
  fs::remove(from() / "part-1.safetensors");
  EXPECT_TRUE(has(error(), "part-1.safetensors"));
  mx::save_safetensors(from() / "part-1.safetensors", shards[0]);  // tensors come twice
  EXPECT_TRUE(has(error(), "twice"));
}

TEST_F(Convert, AWriterCutsShardsAndIndexesThem) {
  auto tensors = put();
  fs::create_directories(to());
  testing::write_text(
      to() / "config.json", testing::huggingface_config(testing::wide_config()).dump());
  std::vector<std::string> names;
  for (const auto& [name, _] : tensors) names.push_back(name);
  ModelWriter writer(to(), names, 100'000);
  int64_t parameters = 0;
  for (const auto& [name, tensor] : tensors) {
    writer.add(name, tensor);
    parameters += tensor.size();
  }
  writer.finish(parameters);
  auto shards = model_shards(to());
  EXPECT_GE(shards.size(), 3u);
  auto index = read_json_file(to() / "model.safetensors.index.json");
  EXPECT_EQ(index["metadata"]["total_parameters"], parameters);
  EXPECT_EQ(index["metadata"]["total_size"], 4 * parameters);
  EXPECT_EQ(index["weight_map"].size(), tensors.size());
  for (const auto& entry : fs::directory_iterator(to())) {
    EXPECT_NE(entry.path().extension(), ".partial");
  }
  for (const auto& [name, tensor] : written())
    EXPECT_TRUE(same(tensor, tensors.at(name)));
  load_decoder(to());
}

TEST_F(Convert, AConfigurationThatLiesIsRefusedBeforeAnythingIsWritten) {
  put();
  for (const auto& [changes, says] : std::vector<std::pair<json, const char*>>{
           {{{"hidden_size", 64}}, "from the configuration"},
           {{{"vocab_size", 49}}, "from the configuration, got [48, 128]"},
           {{{"num_hidden_layers", 2}}, "'model.layers.1."},
           {{{"num_key_value_heads", 4}}, "_proj.weight', expected [128, 128]"},
           {{{"num_key_value_heads", 3}}, "must divide"},
           {{{"head_dim", 33}}, "even"},
           {{{"hidden_size", -1}}, "hidden_size: expected"},
           {{{"hidden_size", 1e30}}, "hidden_size: expected"},
           {{{"hidden_size", "128"}}, "hidden_size: expected"},
           {{{"vocab_size", 1 << 30}}, "vocab_size: expected"},
           {{{"num_hidden_layers", nullptr}}, "num_hidden_layers is missing"},
           {{{"model_type", "gpt2"}}, "known: llama, mistral, qwen2"},
           {{{"hidden_act", "gelu"}}, "known: silu"},
           {{{"attention_bias", true}}, "bias' is missing"},
           {{{"tie_word_embeddings", false}}, "'lm_head.weight' is missing"},
           {{{"rope_scaling", {{"type", "mrope"}}}}, "mrope"},
           {{{"quantization", {{"bits", 7}}}}, "expected 2, 3, 4, 5, 6 or 8 bits"},
           {{{"quantization_config", {{"quant_method", "awq"}}}}, "another tool's"}}) {
    put();
    change_config(changes);
    EXPECT_TRUE(has(error(), says)) << changes;
  }
  put();
  for (const char* text : {"", "[]", "{", "nul"}) {
    testing::write_text(from() / "config.json", text);
    EXPECT_TRUE(has(error(), "config.json")) << text;
  }
}

TEST_F(Convert, MissingSurplusAndMistypedTensorsAreNamed) {
  auto tensors = put();
  auto rewrite = [&](auto&& change) {
    auto changed = tensors;
    change(changed);
    mx::save_safetensors(from() / "model.safetensors", changed);
    return error();
  };
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  EXPECT_TRUE(
      has(rewrite([&](auto& t) { t.erase(name); }), "'" + name + "' is missing"));
  EXPECT_TRUE(
      has(rewrite([&](auto& t) { t.emplace("model.extra", t.at(name)); }),
          "'model.extra'"));
  EXPECT_TRUE(
      has(rewrite([&](auto& t) { t.at(name) = mx::astype(t.at(name), mx::int32); }),
          "dtype I32"));
  EXPECT_EQ(
      rewrite([&](auto& t) {
        t.emplace("model.layers.0.self_attn.rotary_emb.inv_freq", mx::ones({16}));
      }).substr(0, 8),
      "accepted");
}

TEST_F(Convert, ATruncatedFileIsRefused) {
  put();
  auto file = from() / "model.safetensors";
  auto whole = testing::read_text(file);
  for (size_t size :
       {size_t{0}, size_t{7}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    testing::write_text(file, whole.substr(0, size));
    EXPECT_TRUE(has(error(), file)) << size;
  }
}

TEST_F(Convert, TokenizersThatAreMissingOrBrokenAreRefused) {
  put();
  testing::write_text(from() / "tokenizer.json", "{\"model\":");
  EXPECT_TRUE(has(error(), "tokenizer.json"));
  fs::remove(from() / "tokenizer.json");
  EXPECT_TRUE(has(error(), "expected tokenizer.json"));
  put();
  testing::write_text(from() / "chat_template.jinja", "{% if %}");
  EXPECT_TRUE(has(error(), "chat template"));
}

TEST_F(Convert, WhatStandsAtTheTargetStaysUnlessItIsAModelAndForced) {
  put();
  testing::write_text(to() / "thesis.txt", "mine");
  auto forced = options();
  forced.existing = Existing::replace_model;
  EXPECT_NE(testing::refusal([&] { convert(forced); }), "accepted");
  EXPECT_EQ(testing::read_text(to() / "thesis.txt"), "mine");
  fs::remove_all(to());
  convert(options());
  auto before = testing::read_text(to() / "model.safetensors");
  EXPECT_TRUE(has(testing::refusal([&] { convert(options()); }), "--force"));
  testing::write_text(from() / "tokenizer.json", "broken");
  EXPECT_NE(testing::refusal([&] { convert(forced); }), "accepted");
  EXPECT_EQ(testing::read_text(to() / "model.safetensors"), before);
  put();
  forced.dtype = mx::float16;
  convert(forced);
  EXPECT_EQ(config()["torch_dtype"], "float16");
}

TEST_F(Convert, ASourceThatIsNoneIsRefused) {
  EXPECT_TRUE(has(error(), "expected a model directory or a .gguf file"));
  fs::create_directories(from());
  EXPECT_TRUE(has(error(), "config.json"));
}

}  // namespace
}  // namespace pupil
