// GGUF files of 5-bit blocks and super-blocks: what is kept, what is unpacked, and that
// the model says the same as one of the same weights in float32.

#include <gtest/gtest.h>

#include "base/json.h"
#include "models/attend.h"
#include "models/convert.h"
#include "models/model.h"
#include "support/gguf_reference.h"
#include "support/temp_dir.h"
#include "support/tiny_checkpoint.h"

namespace pupil {
namespace {

namespace fs = std::filesystem;
using testing::GgufBytes;
using testing::has;

struct Row {
  const char* name;
  GgufType type;
  int rows, columns;  // columns 0: a vector
};

const std::vector<Row> kRows = {
    {"token_embd.weight", GgufType::q6_k, 48, 256},
    {"output_norm.weight", GgufType::f32, 256, 0},
    {"output.weight", GgufType::q5_1, 48, 256},
    {"blk.0.attn_norm.weight", GgufType::f32, 256, 0},
    {"blk.0.ffn_norm.weight", GgufType::f32, 256, 0},
    {"blk.0.attn_q.weight", GgufType::q4_k, 64, 256},
    {"blk.0.attn_k.weight", GgufType::q5_0, 32, 256},
    {"blk.0.attn_v.weight", GgufType::q6_k, 32, 256},
    {"blk.0.attn_output.weight", GgufType::q5_0, 256, 64},
    {"blk.0.ffn_gate.weight", GgufType::q5_k, 256, 256},
    {"blk.0.ffn_up.weight", GgufType::q4_k, 256, 256},
    {"blk.0.ffn_down.weight", GgufType::q5_1, 256, 256}};

DecoderConfig wide_gguf_config() {
  auto config = testing::tiny_config();
  config.num_layers = 1;
  config.hidden_size = 256;
  config.intermediate_size = 256;
  config.head_dim = 16;
  return config;
}

std::string float_data(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

// [T, V]
mx::array logits_of(const std::string& dir) {
  auto model = load_decoder(dir);
  auto hidden = sequence_hidden(model, mx::array({3, 17, 5, 40, 2, 29}, {1, 6}));
  return model.head(mx::reshape(hidden, {-1, model.config.hidden_size}));
}

class ConvertGgufTypes : public ::testing::Test {
 protected:
  // The same weights twice: in their types, and in float32.
  ConvertGgufTypes() {
    auto packed = testing::gguf_header("llama", wide_gguf_config()), dense = packed;
    std::mt19937 random(3);
    for (const auto& row : kRows) {
      int columns = std::max(row.columns, 1);
      auto data = testing::random_gguf_data(row.type, row.rows, columns, random);
      auto weights = testing::gguf_weights(row.type, std::as_bytes(std::span(data)));
      std::vector<uint64_t> shape = {static_cast<uint64_t>(row.rows)};
      if (row.columns) shape.push_back(row.columns);
      packed.tensor(row.name, shape, row.type, data);
      dense.tensor(row.name, shape, GgufType::f32, float_data(weights));
    }
    testing::write_text(folder_.path() / "packed.gguf", packed.file());
    testing::write_text(folder_.path() / "dense.gguf", dense.file());
  }

  std::string dir(const std::string& name) const { return folder_.path() / name; }

  ConvertSummary convert(ConvertOptions options, const std::string& from) {
    options.from = dir(from + ".gguf");
    if (options.to.empty()) options.to = dir(from);
    return convert_model(options, [](size_t, size_t, int64_t) {});
  }

 private:
  testing::TempDir folder_;
};

TEST_F(ConvertGgufTypes, UnpackedToFloat32TheLogitsAreThoseOfTheSameWeights) {
  ConvertOptions options;
  options.dequantize = true;
  options.dtype = mx::float32;
  convert(options, "packed");
  convert({}, "dense");
  auto found = logits_of(dir("packed")), expected = logits_of(dir("dense"));
  EXPECT_GT(mx::max(mx::abs(expected)).item<float>(), 0.1f);
  EXPECT_TRUE(mx::array_equal(found, expected).item<bool>());
}

TEST_F(ConvertGgufTypes, BlocksOf32AreKeptAndSuperblocksUnpacked) {
  using enum ConvertSummary::Fate;
  auto summary = convert({}, "packed");
  std::map<ConvertSummary::Origin, int> expected = {
      {{"F32", dense, {0, 16}}, 3},
      {{"Q4_K", unpacked, {0, 16}}, 2},
      {{"Q5_0", kept, {32, 5}}, 2},
      {{"Q5_1", kept, {32, 5}}, 2},
      {{"Q5_K", unpacked, {0, 16}}, 1},
      {{"Q6_K", unpacked, {0, 16}}, 2}};
  EXPECT_EQ(summary.origins, expected);
  auto config = read_json_file(dir("packed") + "/config.json");
  EXPECT_EQ(config["quantization"]["bits"], 5);
  EXPECT_EQ(config["quantization"]["group_size"], 32);
  EXPECT_EQ(config["torch_dtype"], "float16");
  convert({}, "dense");
  auto far = mx::max(mx::abs(logits_of(dir("packed")) - logits_of(dir("dense"))));
  auto size = mx::max(mx::abs(logits_of(dir("dense"))));
  EXPECT_LT(far.item<float>(), 2e-3f * size.item<float>());
}

TEST_F(ConvertGgufTypes, PackingAnewPacksAll) {
  ConvertOptions options;
  options.quantize = QuantizeRequest{64, 8};
  auto summary = convert(options, "packed");
  for (const auto& [origin, _] : summary.origins) {
    bool is_vector = origin.type == "F32";
    EXPECT_EQ(
        origin.fate,
        is_vector ? ConvertSummary::Fate::dense : ConvertSummary::Fate::packed)
        << origin.type;
  }
  EXPECT_EQ(read_json_file(dir("packed") + "/config.json")["quantization"]["bits"], 8);
  load_decoder(dir("packed"));
}

TEST_F(ConvertGgufTypes, ACorruptSuperblockIsNamedWithItsTensor) {
  auto bytes = testing::gguf_header("llama", wide_gguf_config());
  std::mt19937 random(3);
  for (const auto& row : kRows) {
    int columns = std::max(row.columns, 1);
    auto data = testing::random_gguf_data(row.type, row.rows, columns, random);
    std::vector<uint64_t> shape = {static_cast<uint64_t>(row.rows)};
    if (row.columns) shape.push_back(row.columns);
    if (row.name == std::string("blk.0.ffn_up.weight")) data[5 * 144 + 1] = 0x7c;
    bytes.tensor(row.name, shape, row.type, data);
  }
  testing::write_text(dir("bad.gguf"), bytes.file());
  auto text = testing::refusal([&] { convert({}, "bad"); });
  EXPECT_TRUE(
      has(text, "'blk.0.ffn_up.weight': block 5 has a scale that is not finite"))
      << text;
  EXPECT_FALSE(fs::exists(dir("bad")));
}

}  // namespace
}  // namespace pupil
