// Model directories and adapters that are broken or lie: one clear line, exit code 1.

#include <gtest/gtest.h>

#include <functional>
#include <ostream>

#include "app/tiny_world.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;

struct BadModel {
  std::string name;
  std::function<void(const TinyWorld&)> spoil;
  std::string says;
  bool stops_convert = true;  // false: a conversion does not look at it
};

std::ostream& operator<<(std::ostream& out, const BadModel& bad) {
  return out << bad.name;
}

auto lie(const std::string& from, const std::string& to) {
  return [=](const TinyWorld& world) { world.replace("model/config.json", from, to); };
}

auto put(const std::string& file, const std::string& text) {
  return [=](const TinyWorld& world) { world.write("model/" + file, text); };
}

auto take_away(const std::string& file) {
  return [=](const TinyWorld& world) { fs::remove(world.at("model/" + file)); };
}

void cut_weights(const TinyWorld& world) {
  auto file = world.at("model/model.safetensors");
  fs::resize_file(file, fs::file_size(file) - 100);
}

void claim_a_huge_header(const TinyWorld& world) {
  auto bytes = world.read("model/model.safetensors");
  world.write("model/model.safetensors", bytes.replace(0, 8, 8, '\x7f'));
}

void spoil_the_header(const TinyWorld& world) {
  auto bytes = world.read("model/model.safetensors");
  bytes[9] = '\0';
  world.write("model/model.safetensors", bytes);
}

void overlap_two_tensors(const TinyWorld& world) {
  world.replace(
      "model/model.safetensors", "\"data_offsets\":[0,", "\"data_offsets\":[4,");
}

void call_floats_integers(const TinyWorld& world) {
  world.replace("model/model.safetensors", "\"F32\"", "\"I32\"");
}

class BadModels : public ::testing::TestWithParam<BadModel> {};

TEST_P(BadModels, AreOneLineAndExitCodeOne) {
  const auto& bad = GetParam();
  TinyWorld world;
  bad.spoil(world);
  auto before = names_in(world.at(""));
  for (std::string command :
       {"generate --model model --max-tokens 4 --prompt abc", "train -c config.yaml"}) {
    EXPECT_TRUE(failed(world.run(command), 1, bad.says)) << command;
  }
  auto converted = world.run("convert --from model --to out");
  if (bad.stops_convert) {
    EXPECT_TRUE(failed(converted, 1, bad.says));
    EXPECT_EQ(names_in(world.at("")), before);  // no out, no part of it, no run
  }
}

INSTANTIATE_TEST_SUITE_P(
    Files,
    BadModels,
    ::testing::Values(
        BadModel{"cut", cut_weights, "model.safetensors"},
        BadModel{"huge_header", claim_a_huge_header, "model.safetensors"},
        BadModel{"spoilt_header", spoil_the_header, "model.safetensors"},
        BadModel{"overlap", overlap_two_tensors, "model.safetensors"},
        BadModel{"whole_numbers", call_floats_integers, "holds int32", false},
        BadModel{"empty_weights", put("model.safetensors", ""), "model.safetensors"},
        BadModel{
            "no_weights",
            take_away("model.safetensors"),
            "expected model.safetensors, got no safetensors file"},
        BadModel{"no_config", take_away("config.json"), "model/config.json"},
        BadModel{
            "config_is_no_json",
            put("config.json", "{"),
            "config.json: not valid JSON"},
        BadModel{
            "config_is_deep",
            put("config.json",
                "{\"x\":" + std::string(200000, '[') + std::string(200000, ']') + "}"),
            "config.json: nested deeper than 64"},
        BadModel{"config_is_a_list", put("config.json", "[]"), "config.json"},
        BadModel{"no_tokenizer", take_away("tokenizer.json"), "tokenizer.json"},
        BadModel{
            "broken_tokenizer",
            put("tokenizer.json", "{\"model\":"),
            "tokenizer.json",
            false},
        BadModel{
            "tokenizer_of_nothing",
            put("tokenizer.json", "{}"),
            "tokenizer.json",
            false},
        BadModel{
            "broken_template",
            put("chat_template.jinja", "{% for %}"),
            "chat_template.jinja",
            false},
        BadModel{
            "broken_tokenizer_config",
            put("tokenizer_config.json", "["),
            "tokenizer_config.json",
            false}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    LyingConfig,
    BadModels,
    ::testing::Values(
        BadModel{
            "family",
            lie("\"llama\"", "\"gpt9\""),
            "model_type 'gpt9' is not supported; known: "},
        BadModel{"more_layers", lie("layers\": 2", "layers\": 3"), "model.layers.2."},
        BadModel{"fewer_layers", lie("layers\": 2", "layers\": 1"), "model.layers.1."},
        BadModel{"no_layers", lie("layers\": 2", "layers\": 0"), "num_hidden_layers"},
        BadModel{
            "endless_layers", lie("layers\": 2", "layers\": 1e9"), "num_hidden_layers"},
        BadModel{
            "layers_in_words",
            lie("layers\": 2", "layers\": \"two\""),
            "num_hidden_layers"},
        BadModel{"wider", lie("\"hidden_size\": 32", "\"hidden_size\": 64"), "32"},
        BadModel{"no_width", lie("\"hidden_size\": 32,", ""), "hidden_size is missing"},
        BadModel{
            "narrower_mlp",
            lie("\"intermediate_size\": 64", "\"intermediate_size\": 32"),
            "mlp."},
        BadModel{
            "more_heads",
            lie("attention_heads\": 4", "attention_heads\": 8"),
            "self_attn."},
        BadModel{
            "odd_heads",
            lie("attention_heads\": 4", "attention_heads\": 3"),
            "num_key_value_heads"},
        BadModel{
            "fewer_kv_heads",
            lie("value_heads\": 2", "value_heads\": 1"),
            "self_attn."},
        BadModel{"wider_heads", lie("head_dim\": 8", "head_dim\": 16"), "self_attn."},
        BadModel{
            "larger_vocabulary",
            lie("vocab_size\": 48", "vocab_size\": 50"),
            "embed_tokens"},
        BadModel{
            "smaller_vocabulary", lie("vocab_size\": 48", "vocab_size\": 40"), "40"},
        BadModel{
            "untied",
            lie("embeddings\": true", "embeddings\": false"),
            "lm_head.weight"},
        BadModel{
            "biased",
            lie("\"head_dim\"", "\"attention_bias\": true, \"head_dim\""),
            "bias"},
        BadModel{
            "activation",
            lie("\"head_dim\"", "\"hidden_act\": \"tanh\", \"head_dim\""),
            "hidden_act 'tanh'"},
        BadModel{
            "rope_scaling",
            lie("\"head_dim\"",
                "\"rope_scaling\": {\"rope_type\": \"odd\"}, \"head_dim\""),
            "odd"},
        BadModel{
            "packed",
            lie("\"head_dim\"",
                "\"quantization\": {\"group_size\": 32, \"bits\": 4}, \"head_dim\""),
            "no weight has scales",
            false},
        BadModel{"rope_theta", lie("10000.0", "-1"), "rope_theta"},
        BadModel{"epsilon", lie("1e-5", "\"small\""), "rms_norm_eps"},
        BadModel{
            "end_outside",
            lie("token_id\": 1", "token_id\": 48"),
            "eos_token_id 48",
            false},
        BadModel{
            "end_in_words",
            lie("token_id\": 1", "token_id\": \"eos\""),
            "eos_token_id",
            false}),
    [](const auto& info) { return info.param.name; });

TEST(BadGguf, IsOneLineAndLeavesNothing) {
  TinyWorld world;
  auto before = names_in(world.at(""));
  for (std::string bytes : {"", "GGUF", "not a model at all, only text"}) {
    world.write("model/x.gguf", bytes);
    EXPECT_TRUE(failed(world.run("convert --from model/x.gguf --to out"), 1, "x.gguf"));
  }
  for (std::string path :
       {"nowhere", "./no/where", "model/no/where", "no/where.gguf"}) {
    EXPECT_TRUE(failed(
        world.run("convert --from " + path + " --to out"),
        1,
        "'" + path + "': no such file or directory, and not the name of a model"));
  }
  EXPECT_TRUE(failed(
      world.run("convert --from tasks.jsonl --to out"),
      1,
      "expected a model directory or a .gguf file"));
  EXPECT_EQ(names_in(world.at("")), before);
}

TEST(BadTarget, OfAConversionIsKept) {
  TinyWorld world;
  world.write("notes/todo.txt", "buy milk");
  EXPECT_TRUE(failed(
      world.run("convert --from model --to notes --force"),
      1,
      "holds something else than a model"));
  EXPECT_TRUE(failed(
      world.run("convert --from model --to tasks.jsonl --force"),
      1,
      "is no directory"));
  ASSERT_EQ(world.run("convert --from model --to out").exit_code, 0);
  auto weights = world.read("out/model.safetensors");
  const std::string again = "convert --from model --to out --dtype float16";
  EXPECT_TRUE(failed(world.run(again), 1, "out: exists; replace it with --force"));
  EXPECT_EQ(world.read("out/model.safetensors"), weights);
  EXPECT_EQ(world.run(again + " --force").exit_code, 0);
  EXPECT_LT(world.read("out/model.safetensors").size(), weights.size());
  EXPECT_EQ(world.read("notes/todo.txt"), "buy milk");
}

TEST(BadAdapter, IsOneLine) {
  TinyWorld world;
  ASSERT_EQ(world.run("train -c config.yaml").exit_code, 0);
  const std::string ask =
      "generate --model model --max-tokens 4 --prompt abc --adapter ";
  ASSERT_EQ(world.run(ask + "run/adapters").exit_code, 0);
  EXPECT_TRUE(failed(world.run(ask + "nowhere"), 1, "nowhere/adapter_config.json"));
  world.replace("run/adapters/adapter_config.json", "\"rank\": 2", "\"rank\": 4");
  EXPECT_TRUE(failed(world.run(ask + "run/adapters"), 1, "run/adapters"));
  world.replace("run/adapters/adapter_config.json", "\"rank\": 4", "\"rank\": 0");
  EXPECT_TRUE(failed(world.run(ask + "run/adapters"), 1, "rank"));
  world.replace("run/adapters/adapter_config.json", "\"rank\": 0", "\"rank\": 2");
  fs::resize_file(world.at("run/adapters/adapters.safetensors"), 900);
  EXPECT_TRUE(failed(world.run(ask + "run/adapters"), 1, "adapters.safetensors"));
}

}  // namespace
}  // namespace pupil::testing
