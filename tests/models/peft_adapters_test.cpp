// Adapter directories in PEFT's layout: read as PEFT means them, written as PEFT does,
// and what does not fit is refused.

#include <filesystem>

#include "models/adapter_fixture.h"
#include "models/model.h"

namespace pupil {
namespace {

using nlohmann::json;
using testing::Adapters;
using testing::has;
using testing::logits;
using testing::noise;
using testing::same;
using testing::tiny_decoder;

class PeftAdapters : public Adapters {
 protected:
  json config = {
      {"peft_type", "LORA"},
      {"r", 4},
      {"lora_alpha", 6},
      {"bias", "none"},
      {"target_modules", {"q_proj", "mlp.down_proj"}},
      {"lora_dropout", 0.05},
      {"base_model_name_or_path", "x"},
      {"task_type", "CAUSAL_LM"},
      {"use_dora", false},
      {"modules_to_save", nullptr},
      {"rank_pattern", json::object()},
      {"init_lora_weights", true},
      {"use_rslora", false},
      {"inference_mode", true}};

  // What PEFT would save of an adapter on these linears of every layer.
  Checkpoint::Tensors peft_tensors() {
    Checkpoint::Tensors tensors;
    uint64_t seed = 10;
    auto model = tiny_decoder();
    for_each_linear(model, [&](const std::string& path, Linear& linear) {
      if (!path.ends_with("q_proj") && !path.ends_with("down_proj")) return;
      auto name = "base_model.model." + path;
      tensors.emplace(name + ".lora_A.weight", noise({4, linear.in}, ++seed));
      tensors.emplace(name + ".lora_B.weight", noise({linear.out, 4}, ++seed));
    });
    return tensors;
  }
  void put_peft(const json& text, const Checkpoint::Tensors& tensors) {
    put(text);
    mx::save_safetensors(dir() + "/adapter_model.safetensors", tensors);
  }
  // The tiny decoder with W + scale * B A in place of W.
  Decoder merged(const Checkpoint::Tensors& tensors, float scale) {
    auto model = tiny_decoder();
    for_each_linear(model, [&](const std::string& path, Linear& linear) {
      auto a = tensors.find("base_model.model." + path + ".lora_A.weight");
      if (a == tensors.end()) return;
      auto b = tensors.at("base_model.model." + path + ".lora_B.weight");
      linear.base.weight = linear.base.weight + scale * mx::matmul(b, a->second);
    });
    return model;
  }
};

TEST_F(PeftAdapters, TheModelEqualsTheMergedOne) {
  auto tensors = peft_tensors();
  for (bool by_root : {false, true}) {
    config["use_rslora"] = by_root;
    put_peft(config, tensors);
    auto model = tiny_decoder();
    load_adapters(model, dir());
    auto expected = logits(merged(tensors, by_root ? 3.0f : 1.5f));
    auto difference = mx::max(mx::abs(logits(model) - expected)).item<float>();
    EXPECT_LT(difference, 1e-4f);  // float32, another order of sums
    EXPECT_GT(mx::max(mx::abs(logits(tiny_decoder()) - expected)).item<float>(), 0.1f);
  }
}

TEST_F(PeftAdapters, SavedAgainItIsTheSameAdapter) {
  put_peft(config, peft_tensors());
  auto model = tiny_decoder();
  load_adapters(model, dir());
  auto read = read_adapter_config(dir());
  put(model, read);  // mlx-lm's configuration in place of PEFT's
  auto again = tiny_decoder();
  load_adapters(again, dir());
  EXPECT_TRUE(same(logits(again), logits(model)));
}

TEST_F(PeftAdapters, WhatIsNoPlainLoraIsRefusedByName) {
  auto tensors = peft_tensors();
  for (const auto& [key, value] : std::vector<std::pair<const char*, json>>{
           {"peft_type", "LOHA"},
           {"bias", "all"},
           {"rank_pattern", {{"q_proj", 2}}},
           {"alpha_pattern", {{"q_proj", 2}}},
           {"layers_to_transform", {0, 2}},
           {"layers_to_transform", "all"},
           {"use_dora", "yes"},
           {"lora_dropout", 1.5},
           {"modules_to_save", {"lm_head"}},
           {"fan_in_fan_out", true},
           {"init_lora_weights", "pissa"},
           {"target_modules", ".*q_proj"},
           {"target_modules", {"q_proj", "lm_head"}},
           {"target_modules", {1}},
           {"target_modules", nullptr},
           {"r", 0},
           {"lora_alpha", "x"}}) {
    auto changed = config;
    changed[key] = value;
    put_peft(changed, tensors);
    EXPECT_TRUE(has(error(), key)) << value;
  }
}

TEST_F(PeftAdapters, TensorsThatDoNotFitAreNamed) {
  auto changed = config;
  changed["target_modules"] = "all-linear";
  put_peft(changed, peft_tensors());
  EXPECT_TRUE(has(error(), "missing tensor"));
  changed["target_modules"] = {"q_proj"};
  put_peft(changed, peft_tensors());
  EXPECT_TRUE(has(error(), "unexpected tensor"));
  auto tensors = peft_tensors();
  tensors.emplace("base_model.model.lm_head.weight", noise({48, 32}, 1));
  put_peft(config, tensors);
  EXPECT_TRUE(has(error(), "'base_model.model.lm_head.weight'"));
  changed = config;
  changed["r"] = 8;
  put_peft(changed, peft_tensors());
  EXPECT_TRUE(has(error(), "lora_a' has shape"));
  std::filesystem::remove(dir() + "/adapter_model.safetensors");
  EXPECT_TRUE(has(error(), "adapter_model.safetensors"));
}

// Directories that PEFT 0.21.2 saved (tools/make_adapter_golden.py).
class SavedByPeft : public ::testing::TestWithParam<const char*> {
 protected:
  static constexpr const char* kModel = PUPIL_SOURCE_DIR "/tests/golden/qwen2";

  std::string golden() const {
    return std::string(PUPIL_SOURCE_DIR "/tests/golden/adapters/") + GetParam();
  }
  // Of each token behind those before it, [B, T - 1].
  static mx::array logprobs(const Decoder& model) {
    auto tokens = mx::load_safetensors(kModel + std::string("/golden.safetensors"))
                      .first.at("tokens");  // [B, T]
    int rows = tokens.shape(0), length = tokens.shape(1);
    auto hidden = sequence_hidden(model, mx::astype(tokens, mx::int32));
    auto logits = mx::reshape(
        model.head(mx::reshape(hidden, {rows * length, -1})), {rows, length, -1});
    auto normal = logits - mx::logsumexp(logits, -1, true);
    auto before = mx::slice(normal, {0, 0, 0}, {rows, length - 1, normal.shape(2)});
    auto next = mx::slice(tokens, {0, 1}, {rows, length});
    return mx::squeeze(mx::take_along_axis(before, mx::expand_dims(next, 2), 2), 2);
  }
  static Checkpoint::Tensors tensors_in(const std::string& dir) {
    return mx::load_safetensors(dir + "/adapter_model.safetensors").first;
  }
  testing::TempDir folder;
};

TEST_P(SavedByPeft, GivesPeftsLogProbabilities) {
  auto model = load_decoder(kModel);
  load_adapters(model, golden());
  auto values = mx::load_safetensors(golden() + "/logprobs.safetensors").first;
  auto expected = values.at("logprobs");  // [2, 39]
  EXPECT_LT(mx::max(mx::abs(logprobs(model) - expected)).item<float>(), 1e-4f);
  auto plain = logprobs(load_decoder(kModel));
  EXPECT_GT(mx::max(mx::abs(plain - expected)).item<float>(), 0.1f);
}

TEST_P(SavedByPeft, IsTheSameAfterMlxLmsLayout) {
  auto there = (folder.path() / "mlx_lm").string();
  auto back = (folder.path() / "peft").string();
  write_adapter_files(read_adapter_files(golden()), there, AdapterLayout::mlx_lm);
  write_adapter_files(read_adapter_files(there), back, AdapterLayout::peft);
  auto expected = tensors_in(golden()), found = tensors_in(back);
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_TRUE(same(found.at(name), tensor)) << name;
  }
  auto before = read_adapter_config(golden()), after = read_adapter_config(back);
  EXPECT_EQ(after.fine_tune_type, before.fine_tune_type);
  EXPECT_EQ(after.rank, before.rank);
  EXPECT_EQ(after.scale, before.scale);
  EXPECT_EQ(after.num_layers, before.num_layers);
  EXPECT_EQ(read_adapter_files(back).base_model, "tiny/qwen2");
}

INSTANTIATE_TEST_SUITE_P(
    Kinds,
    SavedByPeft,
    ::testing::Values("peft_lora", "peft_dora"),
    [](const auto& info) { return std::string(info.param); });

TEST_F(PeftAdapters, WhatPeftCannotSayIsRefused) {
  LoraConfig full{.fine_tune_type = "full", .keys = "self_attn.q_proj"};
  auto model = tiny_decoder();
  attach_lora(model, full, 0);
  put(model, full);
  auto to = dir() + "/peft";
  auto error = testing::refusal(
      [&] { write_adapter_files(read_adapter_files(dir()), to, AdapterLayout::peft); });
  EXPECT_TRUE(has(error, "q_proj.weight' is no part of an adapter"));
  EXPECT_FALSE(std::filesystem::exists(to));
}

}  // namespace
}  // namespace pupil
