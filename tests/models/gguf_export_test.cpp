// Models to GGUF files and back: the same tensors, the same tokenizer.

#include "models/gguf_export.h"

#include <gtest/gtest.h>

#include "formats/gguf.h"
#include "models/convert_fixture.h"
#include "models/gguf_names.h"
#include "models/model.h"

namespace pupil {
namespace {

using testing::has;
using testing::same;
namespace fs = std::filesystem;
using nlohmann::json;

class ExportGguf : public testing::ConvertTest {
 protected:
  std::string file() const { return to().string() + ".gguf"; }
  GgufExport write() {
    fs::create_directories(to().parent_path());
    return export_gguf(from(), file(), Existing::refuse);
  }
  // The tensors of the directory that the file is converted to.
  Checkpoint::Tensors read_back() {
    auto options = this->options();
    options.from = file();
    options.existing = Existing::replace_model;
    convert(options);
    return written();
  }
  void expect_same(
      const Checkpoint::Tensors& found, const Checkpoint::Tensors& expected) {
    ASSERT_EQ(found.size(), expected.size());
    for (const auto& [name, tensor] : expected) {
      ASSERT_TRUE(found.contains(name)) << name;
      EXPECT_TRUE(same(found.at(name), tensor)) << name;
    }
  }
  // A source with biases on q, k and v, and on o where the family has one.
  Checkpoint::Tensors put_with_biases(const char* family, bool has_output_bias) {
    auto tensors = put();
    for (const char* module : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
      if (module == std::string("o_proj") && !has_output_bias) continue;
      auto name = std::string("model.layers.0.self_attn.") + module;
      auto bias = mx::arange(0.0f, 1.0f * tensors.at(name + ".weight").shape(0), 1.0f);
      tensors.emplace(name + ".bias", bias);
    }
    auto config = testing::huggingface_config(testing::wide_config());
    config["model_type"] = family;
    config["attention_bias"] = true;
    fs::remove_all(from());
    testing::put_huggingface(from(), config, tensors);
    return tensors;
  }
  // In place of the source, itself packed.
  Checkpoint::Tensors pack(const Quantization& packing, mx::Dtype dtype) {
    put();
    fs::remove_all(to());
    auto options = this->options();
    options.quantize = QuantizeRequest{packing.group_size, packing.bits, packing.mode};
    options.dtype = dtype;
    convert(options);
    fs::remove_all(from());
    fs::rename(to(), from());
    return mx::load_safetensors((from() / "model.safetensors").string()).first;
  }
  // Of a model directory, all in float32.
  Checkpoint::Tensors unpacked_tensors(const fs::path& dir) {
    ConvertOptions options;
    options.from = dir;
    options.to = from().parent_path() / "dense";
    options.dequantize = read_json_file(dir / "config.json").contains("quantization");
    options.dtype = mx::float32;
    options.existing = Existing::replace_model;
    convert(options);
    return mx::load_safetensors(options.to + "/model.safetensors").first;
  }
  std::string error() {
    auto text = testing::refusal([&] { write(); });
    EXPECT_TRUE(fs::is_empty(to().parent_path()));
    return text;
  }
};

TEST_F(ExportGguf, ThereAndBackGivesEqualTensors) {
  for (auto dtype : {mx::float32, mx::float16, mx::bfloat16}) {
    auto tensors = put();
    for (auto& [_, tensor] : tensors) tensor = mx::astype(tensor, dtype);
    auto config = testing::huggingface_config(testing::wide_config());
    fs::remove_all(from());
    testing::put_huggingface(from(), config, tensors);
    fs::remove(file());
    auto types = write();
    EXPECT_EQ(types.size(), dtype == mx::float32 ? 1u : 2u);
    expect_same(read_back(), tensors);
  }
}

TEST_F(ExportGguf, AQwen2sRowsStayAndALlamasTurn) {
  for (const char* family : {"qwen2", "llama"}) {
    bool is_llama = family == std::string("llama");
    auto tensors = put_with_biases(family, is_llama);
    fs::remove(file());
    write();
    expect_same(read_back(), tensors);
    GgufFile gguf(file());
    for (const auto& tensor : gguf.tensors()) {
      if (tensor.name != "blk.0.attn_q.weight") continue;
      auto bytes = gguf.read(tensor);
      auto rows = mx::array(reinterpret_cast<float*>(bytes.data()), {128, 128});
      const auto& own = tensors.at("model.layers.0.self_attn.q_proj.weight");
      // The second row of a head is its 17th of 32, where halves are interleaved.
      auto second = mx::take(own, is_llama ? 16 : 1, 0);
      EXPECT_TRUE(mx::array_equal(mx::take(rows, 1, 0), second).item<bool>()) << family;
    }
  }
}

TEST_F(ExportGguf, PackedWeightsKeepTheirCodesWhereATypeHoldsThem) {
  for (int bits : {4, 5}) {
    auto tensors = pack({32, bits}, mx::float16);
    fs::remove(file());
    auto types = write();
    EXPECT_FALSE(types.contains("F16")) << bits;
    EXPECT_EQ(types["Q" + std::to_string(bits) + "_1"], 8);
    expect_same(read_back(), tensors);
  }
}

// Two blocks of 32 share the scale of a group of 64: other arrays, the same numbers.
TEST_F(ExportGguf, LargerGroupsAndWhatNoTypeHoldsAreTheSameNumbers) {
  struct Case {
    Quantization packing;
    mx::Dtype dtype;
    const char* type;
    float error;
  };
  for (const auto& [packing, dtype, type, error] :
       {Case{{64, 4}, mx::float16, "Q4_1", 0},
        {{64, 8}, mx::float16, "F16", 1e-3f},
        {{32, 4, QuantMode::mxfp4}, mx::float16, "BF16", 0}}) {
    pack(packing, dtype);
    auto expected = unpacked_tensors(from());
    fs::remove(file());
    EXPECT_EQ(write()[type], 8) << type;
    read_back();
    auto found = unpacked_tensors(to());
    for (const auto& [name, tensor] : expected) {
      auto far = mx::max(mx::abs(found.at(name) - tensor)).item<float>();
      EXPECT_LE(far, error * mx::max(mx::abs(tensor)).item<float>()) << name;
    }
  }
}

TEST_F(ExportGguf, TheTokenizerIsTheSame) {
  put();
  write();
  read_back();
  auto before = read_json_file(from() / "tokenizer.json");
  auto after = read_json_file(to() / "tokenizer.json");
  for (const char* part : {"added_tokens", "normalizer", "pre_tokenizer"})
    EXPECT_EQ(before[part], after[part]) << part;
  EXPECT_EQ(before["model"]["vocab"], after["model"]["vocab"]);
  EXPECT_EQ(before["model"]["merges"], after["model"]["merges"]);
  EXPECT_EQ(
      testing::read_text(from() / "chat_template.jinja"),
      testing::read_text(to() / "chat_template.jinja"));
  EXPECT_EQ(load_model(to()).eos_ids, std::vector<int>{1});
}

TEST_F(ExportGguf, ScalingOfRotaryEmbeddingsComesBack) {
  json llama3 = {
      {"rope_type", "llama3"},
      {"factor", 8.0},
      {"low_freq_factor", 1.0},
      {"high_freq_factor", 4.0},
      {"original_max_position_embeddings", 8192}};
  json linear = {{"rope_type", "linear"}, {"type", "linear"}, {"factor", 2.0}};
  for (const auto& scaling : {llama3, linear}) {
    put();
    change_config({{"rope_scaling", scaling}});
    fs::remove(file());
    write();
    read_back();
    EXPECT_EQ(config()["rope_scaling"], scaling);
  }
}

TEST_F(ExportGguf, WhatGgufCannotHoldIsRefused) {
  put();
  fs::create_directories(to().parent_path());
  change_config({{"model_type", "mistral"}});
  EXPECT_TRUE(has(error(), "expected llama or qwen2, got 'mistral'"));
  change_config(
      {{"model_type", "llama"},
       {"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2.0}}}});
  EXPECT_TRUE(has(error(), "expected default, linear or llama3, got 'dynamic'"));
  change_config({{"rope_scaling", nullptr}});
  auto path = from() / "tokenizer.json";
  auto tokenizer = read_json_file(path);
  auto other = tokenizer;
  other["pre_tokenizer"]["add_prefix_space"] = true;
  testing::write_text(path, other.dump());
  EXPECT_TRUE(has(error(), "the pre-tokenizer is none that GGUF is written with"));
  other = tokenizer;
  other["model"]["vocab"]["z"] = 48;
  testing::write_text(path, other.dump());
  EXPECT_TRUE(has(error(), "token 'z', expected an id below the model's 48, got 48"));
  other = tokenizer;
  other["model"]["merges"] = {1};
  testing::write_text(path, other.dump());
  EXPECT_TRUE(has(error(), "is no tokenizer"));
}

TEST_F(ExportGguf, AFileThatExistsIsReplacedOnRequestOnly) {
  put();
  write();
  EXPECT_TRUE(
      has(testing::refusal([&] { write(); }), "exists; replace it with --force"));
  export_gguf(from(), file(), Existing::replace_model);
  EXPECT_TRUE(
      has(testing::refusal([&] { export_gguf(from(), to(), Existing::refuse); }),
          "ends with .gguf"));
}

TEST_F(ExportGguf, ConvertingToAFileLeavesNothingElse) {
  auto tensors = put();
  auto options = this->options();
  options.to = file();
  auto types = convert_to_gguf(options, [](size_t, size_t, int64_t) {});
  EXPECT_EQ(types["F32"], static_cast<int>(tensors.size()));
  auto parent = to().parent_path();
  EXPECT_EQ(std::distance(fs::directory_iterator(parent), fs::directory_iterator()), 1);
  expect_same(read_back(), tensors);
}

TEST_F(ExportGguf, ConvertingWhatGgufCannotHoldEndsBeforeTheFirstTensor) {
  put();
  change_config({{"model_type", "mistral"}});
  auto options = this->options();
  options.to = file();
  int tensors = 0;
  auto text = testing::refusal(
      [&] { convert_to_gguf(options, [&](size_t, size_t, int64_t) { ++tensors; }); });
  EXPECT_TRUE(has(text, "expected llama or qwen2, got 'mistral'")) << text;
  EXPECT_EQ(tensors, 0);
  EXPECT_FALSE(fs::exists(to().parent_path()));
}

TEST(GgufNames, BothWaysAreOne) {
  for (const char* name :
       {"token_embd.weight", "output.weight", "blk.31.ffn_down.bias"})
    EXPECT_EQ(gguf_name(*huggingface_name(name)), name);
  EXPECT_EQ(
      huggingface_name("blk.3.attn_q.weight"),
      "model.layers.3.self_attn.q_proj.weight");
  for (const char* name :
       {"",
        "output",
        "output.scale",
        "blk.attn_q.weight",
        "blk.x.attn_q.weight",
        "blk.1"})
    EXPECT_FALSE(huggingface_name(name)) << name;
}

}  // namespace
}  // namespace pupil
