// GGUF files to MLX directories: weights stay what they were, with the rows of q and k
// back in their places.

#include <gtest/gtest.h>

#include <unordered_set>

#include "base/json.h"
#include "formats/gguf.h"
#include "models/convert.h"
#include "models/model.h"
#include "models/model_source.h"
#include "support/gguf_reference.h"
#include "support/temp_dir.h"
#include "support/tiny_checkpoint.h"

namespace pupil {
namespace {

using nlohmann::json;
using testing::GgufBytes;
using testing::has;
namespace fs = std::filesystem;

ConvertSummary convert(const ConvertOptions& options) {
  return convert_model(options, [](size_t, size_t, int64_t) {});
}

// The weights of `name` in float32, unpacked by what config.json says of its module.
mx::array weights_of(
    const Checkpoint::Tensors& tensors,
    const ModelDescription& model,
    const std::string& name) {
  auto module = name.substr(0, name.rfind('.'));
  if (name.ends_with(".bias") || !tensors.contains(module + ".scales")) {
    return mx::astype(tensors.at(name), mx::float32);
  }
  auto own = model.quantization.find(module);
  auto packing =
      own != model.quantization.end() ? own->second : model.quantization.at("");
  return mx::dequantize(
      tensors.at(name),
      mx::astype(tensors.at(module + ".scales"), mx::float32),
      mx::astype(tensors.at(module + ".biases"), mx::float32),
      packing.group_size,
      packing.bits);
}

// Row `row` of GGUF's order of a Llama's q or k, in Hugging Face's.
int huggingface_row(int row, int head_dim) {
  int in_head = row % head_dim;
  return row - in_head + in_head % 2 * (head_dim / 2) + in_head / 2;
}

std::vector<float> turned_back(
    const std::vector<float>& weights, int rows, int head_dim) {
  std::vector<float> result(weights.size());
  size_t width = weights.size() / rows;
  for (int row = 0; row < rows; ++row) {
    std::copy_n(
        &weights[row * width], width, &result[huggingface_row(row, head_dim) * width]);
  }
  return result;
}

bool is_turned(const std::string& name) {
  return name.find("attn_q.") != name.npos || name.find("attn_k.") != name.npos;
}

// Bit for bit, as float32.
::testing::AssertionResult same_weights(
    const mx::array& found, const std::vector<float>& expected) {
  if (found.size() != expected.size()) return ::testing::AssertionFailure() << "size";
  auto flat = mx::contiguous(found);
  flat.eval();
  const float* values = flat.data<float>();
  for (size_t i = 0; i < expected.size(); ++i) {
    if (values[i] == expected[i]) continue;
    return ::testing::AssertionFailure()
           << "weight " << i << ": " << values[i] << ", expected " << expected[i];
  }
  return ::testing::AssertionSuccess();
}

struct Row {
  const char *gguf, *huggingface;
  GgufType type;
  int rows, columns;  // columns 0: a vector
};

DecoderConfig tiny_gguf_config() {
  auto config = testing::tiny_config();
  config.num_layers = 1;
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.head_dim = 16;
  return config;
}

// Every type, among them different ones in one attention block.
const std::vector<Row> kRows = {
    {"token_embd.weight", "model.embed_tokens.weight", GgufType::q8_0, 48, 64},
    {"output_norm.weight", "model.norm.weight", GgufType::f32, 64, 0},
    {"output.weight", "lm_head.weight", GgufType::q4_0, 48, 64},
    {"blk.0.attn_norm.weight",
     "model.layers.0.input_layernorm.weight",
     GgufType::f32,
     64,
     0},
    {"blk.0.ffn_norm.weight",
     "model.layers.0.post_attention_layernorm.weight",
     GgufType::f16,
     64,
     0},
    {"blk.0.attn_q.weight",
     "model.layers.0.self_attn.q_proj.weight",
     GgufType::q4_1,
     64,
     64},
    {"blk.0.attn_k.weight",
     "model.layers.0.self_attn.k_proj.weight",
     GgufType::q4_0,
     32,
     64},
    {"blk.0.attn_v.weight",
     "model.layers.0.self_attn.v_proj.weight",
     GgufType::f16,
     32,
     64},
    {"blk.0.attn_output.weight",
     "model.layers.0.self_attn.o_proj.weight",
     GgufType::q4_1,
     64,
     64},
    {"blk.0.ffn_gate.weight",
     "model.layers.0.mlp.gate_proj.weight",
     GgufType::q4_1,
     96,
     64},
    {"blk.0.ffn_up.weight",
     "model.layers.0.mlp.up_proj.weight",
     GgufType::bf16,
     96,
     64},
    {"blk.0.ffn_down.weight",
     "model.layers.0.mlp.down_proj.weight",
     GgufType::f32,
     64,
     96}};

const std::vector<Row> kBiases = {
    {"blk.0.attn_q.bias", "model.layers.0.self_attn.q_proj.bias", GgufType::f32, 64, 0},
    {"blk.0.attn_k.bias", "model.layers.0.self_attn.k_proj.bias", GgufType::f32, 32, 0},
    {"blk.0.attn_v.bias",
     "model.layers.0.self_attn.v_proj.bias",
     GgufType::f32,
     32,
     0}};

class ConvertGguf : public ::testing::Test {
 protected:
  std::string from() const { return folder_.path() / "tiny.gguf"; }
  std::string to() const { return folder_.path() / "out/model"; }

  GgufBytes file(const std::string& architecture, const std::vector<Row>& rows) {
    auto bytes = testing::gguf_header(architecture, tiny_gguf_config());
    std::mt19937 random(3);
    for (const auto& row : rows) {
      int columns = std::max(row.columns, 1);
      data_[row.gguf] = testing::random_gguf_data(row.type, row.rows, columns, random);
      std::vector<uint64_t> shape = {static_cast<uint64_t>(row.rows)};
      if (row.columns) shape.push_back(row.columns);
      bytes.tensor(row.gguf, shape, row.type, data_[row.gguf]);
    }
    return bytes;
  }
  ConvertOptions put(const GgufBytes& bytes) {
    testing::write_text(from(), bytes.file());
    ConvertOptions options;
    options.from = from();
    options.to = to();
    return options;
  }
  std::string error(const GgufBytes& bytes) {
    auto text = testing::refusal([&] { convert(put(bytes)); });
    auto parent = fs::path(to()).parent_path();
    EXPECT_TRUE(!fs::exists(parent) || fs::is_empty(parent));
    return text;
  }
  void expect_weights(const std::vector<Row>& rows, bool turned) {
    auto tensors = mx::load_safetensors(to() + "/model.safetensors").first;
    auto model = read_model_config(to());
    for (const auto& row : rows) {
      const auto& text = data_.at(row.gguf);
      auto expected = testing::gguf_weights(row.type, std::as_bytes(std::span(text)));
      if (turned && is_turned(row.gguf)) expected = turned_back(expected, row.rows, 16);
      auto found = weights_of(tensors, model, row.huggingface);
      EXPECT_TRUE(same_weights(found, expected)) << row.gguf;
    }
  }

 private:
  testing::TempDir folder_;
  std::map<std::string, std::string> data_;
};

TEST_F(ConvertGguf, EveryWeightOfALlamaStaysWhatItWas) {
  convert(put(file("llama", kRows)));
  expect_weights(kRows, /*turned=*/true);
  auto config = read_json_file(to() + "/config.json");
  EXPECT_EQ(config["model_type"], "llama");
  EXPECT_EQ(config["tie_word_embeddings"], false);
  EXPECT_EQ(config["rms_norm_eps"], 1e-5);
  EXPECT_EQ(config["rope_theta"], 10000.0);
  EXPECT_EQ(config["quantization"]["bits"], 4);
  EXPECT_EQ(config["quantization"]["group_size"], 32);
  EXPECT_EQ(config["quantization"]["model.embed_tokens"]["bits"], 8);
  auto model = load_model(to());
  EXPECT_EQ(model.eos_ids, std::vector<int>{1});
  EXPECT_EQ(model.tokenizer.encode("2<eos>"), (std::vector<int>{2, 1}));
}

TEST_F(ConvertGguf, AQwen2KeepsItsRowsAndBiases) {
  auto rows = kRows;
  rows.insert(rows.end(), kBiases.begin(), kBiases.end());
  convert(put(file("qwen2", rows)));
  expect_weights(rows, /*turned=*/false);
  auto decoder = load_model(to()).decoder;
  EXPECT_TRUE(decoder.model.layers[0].self_attn.k_proj->bias);
}

TEST_F(ConvertGguf, ALlamasBiasesTurnWithTheirRows) {
  auto rows = kRows;
  rows.insert(rows.end(), kBiases.begin(), kBiases.end());
  rows.push_back(
      {"blk.0.attn_output.bias",
       "model.layers.0.self_attn.o_proj.bias",
       GgufType::f32,
       64,
       0});
  convert(put(file("llama", rows)));
  expect_weights(rows, /*turned=*/true);
}

TEST_F(ConvertGguf, WithoutAHeadTheModelIsTied) {
  auto rows = kRows;
  rows.erase(rows.begin() + 2);
  convert(put(file("llama", rows)));
  EXPECT_FALSE(load_decoder(to()).lm_head);
}

TEST_F(ConvertGguf, PackingAnewIsOnRequest) {
  auto options = put(file("llama", kRows));
  options.quantize = QuantizeRequest{64, 8};
  auto summary = convert(options);
  auto config = read_json_file(to() + "/config.json");
  EXPECT_EQ(config["quantization"]["bits"], 8);
  EXPECT_EQ(config["quantization"]["group_size"], 64);
  EXPECT_EQ(summary.rows.at({64, 8}).tensors, 8);  // all matrices but down_proj
  load_decoder(to());
}

TEST_F(ConvertGguf, FilesThatContradictThemselvesAreRefused) {
  auto change = [&](const std::function<void(std::vector<Row>&)>& edit) {
    auto rows = kRows;
    edit(rows);
    return error(file("llama", rows));
  };
  EXPECT_TRUE(
      has(change([](auto& r) { r.pop_back(); }), "down_proj.weight' is missing"));
  EXPECT_TRUE(has(change([](auto& r) { r[5].rows = 32; }), "q_proj"));
  EXPECT_TRUE(
      has(change([](auto& r) { r[5].gguf = "blk.0.attn_qkv.weight"; }), "attn_qkv"));
  EXPECT_TRUE(
      has(change([](auto& r) { r[5].gguf = "blk.1.attn_q.weight"; }), "layers.1"));
  EXPECT_TRUE(
      has(change([](auto& r) { r[1].type = GgufType::q8_0; }),
          "'output_norm.weight' is a vector of type Q8_0"));
}

TEST_F(ConvertGguf, AnArchitectureThatIsNotReadIsNamedWithWhatToConvertInstead) {
  for (std::string name : {"qwen3", "gemma3", "phi3"}) {
    auto text = error(file(name, kRows));
    EXPECT_TRUE(has(text, "expected llama or qwen2, got '" + name + "'; ")) << text;
    EXPECT_TRUE(has(text, "are converted from their safetensors")) << text;
  }
}

TEST_F(ConvertGguf, AScaleThatIsNotFiniteIsNamedWithItsTensor) {
  auto bytes = file("llama", kRows);
  for (auto& tensor : bytes.tensors) {
    if (tensor.name == "blk.0.ffn_gate.weight") tensor.data[41] = 0x7c;  // of block 2
  }
  auto text = error(bytes);
  EXPECT_TRUE(has(text, "'blk.0.ffn_gate.weight': block 2"));
}

// A header whose last value of a key counts is refused, so the key is renamed first.
TEST_F(ConvertGguf, MetadataThatLiesIsRefused) {
  auto whole = file("llama", kRows);
  auto without = [&](const std::string& key) {
    auto bytes = whole;
    auto at = bytes.pairs.find(key);
    EXPECT_NE(at, std::string::npos) << key;
    bytes.pairs[at] = 'X';
    return bytes;
  };
  for (const char* key :
       {"llama.block_count",
        "llama.embedding_length",
        "tokenizer.ggml.tokens",
        "llama.attention.layer_norm_rms_epsilon",
        "tokenizer.ggml.merges"}) {
    EXPECT_TRUE(has(error(without(key)), std::string("'") + key + "' is missing"));
  }
  auto with = [&](const std::string& key, auto value) {
    return error(without(key).set(key, value));
  };
  EXPECT_TRUE(has(with("llama.attention.head_count", 3u), "must divide"));
  EXPECT_TRUE(has(with("llama.attention.head_count", 0u), "out of range"));
  EXPECT_TRUE(has(with("llama.rope.dimension_count", 8u), "width of a head"));
  EXPECT_TRUE(has(with("llama.block_count", 2u), "model.layers.1."));
  EXPECT_TRUE(has(with("llama.block_count", 0xffffffffu), "num_hidden_layers"));
  EXPECT_TRUE(has(with("llama.embedding_length", 1.5f), "unexpected type"));
  EXPECT_TRUE(has(with("tokenizer.ggml.eos_token_id", 48u), "an id below 48, got 48"));
  EXPECT_TRUE(has(with("tokenizer.ggml.pre", std::string("falcon")), "'falcon'"));
  EXPECT_TRUE(has(with("tokenizer.ggml.model", std::string("llama")), "got 'llama'"));
  using Texts = std::vector<std::string>;
  EXPECT_TRUE(
      has(with("tokenizer.ggml.merges", Texts{"2 zz"}), "'zz', which is no tok"));
  EXPECT_TRUE(has(with("tokenizer.ggml.merges", Texts{"23"}), "is no pair"));
  EXPECT_TRUE(
      has(with("tokenizer.ggml.tokens", Texts(48, "x")), "duplicate token 'x'"));
  EXPECT_TRUE(has(with("tokenizer.ggml.tokens", Texts{"x"}), "token"));
}

TEST_F(ConvertGguf, AFlippedByteOfTheHeaderIsRefusedOrHarmless) {
  auto whole = file("llama", kRows).file();
  size_t header = whole.find("blk.0.ffn_down.weight") + 64;
  for (size_t at = 0; at < header; at += 3) {
    for (int value : {0x00, 0xff}) {
      auto flipped = whole;
      flipped[at] = static_cast<char>(value);
      testing::write_text(from(), flipped);
      EXPECT_NO_THROW(testing::refusal([&] {
        auto source = open_gguf_source(from());
        auto decoder = parse_model_config(source.config, from()).decoder;
        check_tensors(source.tensors, decoder, from());
        for (const auto& tensor : source.tensors) tensor.load();
      })) << at;
    }
  }
}

TEST_F(ConvertGguf, ABrokenChatTemplateIsRefused) {
  auto bytes = file("llama", kRows);
  bytes.set("tokenizer.chat_template", std::string("{% for %}"));
  EXPECT_TRUE(has(error(bytes), "tokenizer cannot be loaded"));
}

TEST_F(ConvertGguf, TheDefaultStudentLosesNothing) {
  auto path =
      fs::path(PUPIL_SOURCE_DIR) / "models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!fs::exists(path)) GTEST_SKIP() << "there is no " << path << "; run make demo";
  ConvertOptions options;
  options.from = path;
  options.to = to();
  convert(options);
  auto tensors = mx::load_safetensors(to() + "/model.safetensors").first;
  auto model = read_model_config(to());
  static const std::unordered_map<std::string, std::string> kNames = [] {
    std::unordered_map<std::string, std::string> names;
    for (const auto& row : kRows) {
      for (int i = 0; i < 30; ++i) {
        auto layer = [&](std::string name) {
          auto at = name.find(".0.");
          if (at != name.npos) name.replace(at + 1, 1, std::to_string(i));
          return name;
        };
        names[layer(row.gguf)] = layer(row.huggingface);
      }
    }
    return names;
  }();
  GgufFile gguf(path);
  EXPECT_EQ(gguf.tensors().size(), 272u);
  for (const auto& tensor : gguf.tensors()) {
    auto expected = testing::gguf_weights(tensor.type, gguf.read(tensor));
    int rows = static_cast<int>(tensor.shape.front());
    if (is_turned(tensor.name)) expected = turned_back(expected, rows, 64);
    auto found = weights_of(tensors, model, kNames.at(tensor.name));
    ASSERT_TRUE(same_weights(found, expected)) << tensor.name;
  }
}

}  // namespace
}  // namespace pupil
