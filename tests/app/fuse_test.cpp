// `pupil fuse` and `pupil adapter`, as their users see them.

#include <gtest/gtest.h>

#include "app/tiny_world.h"
#include "models/adapters.h"
#include "models/attend.h"
#include "models/model.h"
#include "support/tiny_checkpoint.h"

namespace pupil::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kWarning = "[fuse] packing moved the weights";

mx::array logits(const Decoder& model) {
  auto hidden = sequence_hidden(model, mx::array({5, 9, 33, 12, 40, 7}, {1, 6}));
  return model.head(mx::reshape(hidden, {6, -1}));
}

float distance(const mx::array& a, const mx::array& b) {
  return mx::max(mx::abs(a - b)).item<float>();
}

class Fuse : public ::testing::Test {
 protected:
  // On every linear of `model`, in adapter/. B's entries are of about `size`.
  Decoder put_adapter(const std::string& model, float size) const {
    LoraConfig config;
    config.rank = 4;
    auto decoder = load_decoder(world.at(model));
    attach_lora(decoder, config, 1);
    for_each_linear(decoder, [&](const std::string& path, Linear& linear) {
      if (!linear.lora) return;
      auto key = mx::random::key(path.size());
      auto& b = linear.lora->b;
      b = mx::random::normal(b.shape(), mx::float32, 0.0f, size, key);
    });
    fs::create_directories(world.at("adapter"));
    save_adapter_tensors(decoder, world.at("adapter/adapters.safetensors"));
    world.write(
        "adapter/adapter_config.json",
        adapter_config_text(config, decoder, world.at(model)));
    return decoder;
  }
  // model/, its matrices in codes of `bits`.
  std::string packed(int bits) const {
    auto name = "q" + std::to_string(bits);
    auto run = world.run(
        "convert --from model --to " + name + " -q --q-group-size 32 --q-bits " +
        std::to_string(bits));
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    return name;
  }
  ProgramResult fuse(const std::string& model, const std::string& more = "") const {
    return world.run("fuse --model " + model + " --adapter adapter --to fused " + more);
  }

  TinyWorld world;
};

TEST_F(Fuse, WritesTheModelThatTheAdapterMakes) {
  auto expected = logits(put_adapter("model", 0.3f));
  auto run = fuse("model");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_TRUE(has(run.output, "wrote fused")) << run.output;
  EXPECT_FALSE(has(run.errors, kWarning)) << run.errors;
  EXPECT_LT(distance(logits(load_decoder(world.at("fused"))), expected), 1e-3f);
}

// A small adapter is less than half of a step between codes of 2 bits.
TEST_F(Fuse, WarnsWherePackingMovesTheWeightsFurtherThanTheAdapter) {
  put_adapter(packed(2), 0.01f);
  auto run = fuse("q2", "--json");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_GT(json::parse(run.output).at("packing_loss"), 1.0);
  EXPECT_TRUE(has(run.errors, kWarning)) << run.errors;
  EXPECT_TRUE(has(run.errors, "--dequantize")) << run.errors;
}

TEST_F(Fuse, DoesNotWarnWhereTheCodesHoldIt) {
  put_adapter(packed(8), 0.05f);
  auto run = fuse("q8", "--json");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  auto loss = json::parse(run.output).at("packing_loss").get<double>();
  EXPECT_GT(loss, 0);
  EXPECT_LT(loss, 0.5);
  EXPECT_FALSE(has(run.errors, kWarning)) << run.errors;
}

TEST_F(Fuse, UnpackedLosesNothingAndDoesNotWarn) {
  put_adapter(packed(2), 0.01f);
  auto run = fuse("q2", "--json --dequantize");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_EQ(json::parse(run.output).at("packing_loss"), 0.0);
  EXPECT_FALSE(has(run.errors, kWarning)) << run.errors;
}

TEST_F(Fuse, ExportsAGgufFileOfTheResult) {
  put_adapter("model", 0.3f);
  auto run = fuse("model", "--json --export-gguf fused.gguf");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_EQ(json::parse(run.output).at("gguf"), "fused.gguf");
  ASSERT_EQ(world.run("convert --from fused.gguf --to back").exit_code, 0);
  auto expected = logits(load_decoder(world.at("fused")));
  EXPECT_EQ(distance(logits(load_decoder(world.at("back"))), expected), 0);
}

TEST_F(Fuse, WhatGgufCannotHoldIsRefusedBeforeAnythingIsWritten) {
  put_tokenizer(world.at("qwen3"));
  for (const char* file : {"config.json", "model.safetensors"})
    fs::copy(
        fs::path(PUPIL_SOURCE_DIR) / "tests/golden/qwen3" / file,
        world.at("qwen3") / file);
  put_adapter("qwen3", 0.1f);
  auto before = names_in(world.at(""));
  auto run = fuse("qwen3", "--export-gguf fused.gguf");
  EXPECT_TRUE(failed(run, 1, "model_type, expected llama or qwen2, got 'qwen3'"));
  EXPECT_EQ(names_in(world.at("")), before);
  world.write("taken.gguf", "here");
  EXPECT_TRUE(failed(fuse("qwen3", "--export-gguf taken.gguf"), 1, "--force"));
  EXPECT_FALSE(fs::exists(world.at("fused")));
  EXPECT_EQ(fuse("qwen3").exit_code, 0);
}

class Adapter : public Fuse {
 protected:
  ProgramResult adapter(const std::string& arguments) const {
    return world.run("adapter " + arguments);
  }
  Checkpoint::Tensors tensors(const std::string& path) const {
    return mx::load_safetensors(world.at(path)).first;
  }
};

TEST_F(Adapter, ComesBackFromPeftsLayout) {
  auto expected = logits(put_adapter("model", 0.3f));
  auto there = adapter("--from adapter --to peft --base-model owner/base --json");
  ASSERT_EQ(there.exit_code, 0) << there.errors;
  auto told = json::parse(there.output);
  EXPECT_EQ(told.at("layout"), "peft");
  EXPECT_EQ(told.at("tensors"), tensors("peft/adapter_model.safetensors").size());
  auto config = json::parse(world.read("peft/adapter_config.json"));
  EXPECT_EQ(config.at("base_model_name_or_path"), "owner/base");
  auto back = adapter("--from peft --to back --layout mlx_lm");
  ASSERT_EQ(back.exit_code, 0) << back.errors;
  EXPECT_TRUE(has(back.output, "tensors in mlx-lm's layout")) << back.output;
  auto before = tensors("adapter/adapters.safetensors"),
       after = tensors("back/adapters.safetensors");
  ASSERT_EQ(after.size(), before.size());
  for (const auto& [name, tensor] : before)
    EXPECT_TRUE(mx::array_equal(after.at(name), tensor).item<bool>()) << name;
  auto model = load_decoder(world.at("model"));
  load_adapters(model, world.at("peft"));
  EXPECT_EQ(distance(logits(model), expected), 0);
}

TEST_F(Adapter, TroubleIsOneLineAndLeavesNothing) {
  put_adapter("model", 0.3f);
  EXPECT_TRUE(failed(adapter("--from none --to out"), 1, "none"));
  EXPECT_TRUE(failed(adapter("--from model --to out"), 1, "adapter_config.json"));
  EXPECT_TRUE(failed(adapter("--from adapter --to model"), 1, "model: exists"));
  EXPECT_FALSE(fs::exists(world.at("out")));
  EXPECT_EQ(adapter("--from adapter --to out --layout torch").exit_code, 2);
}

}  // namespace
}  // namespace pupil::testing
