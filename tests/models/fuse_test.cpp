// A fused model is the model with its adapter.

#include "models/fuse.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "models/adapters.h"
#include "models/attend.h"
#include "models/convert_fixture.h"
#include "models/model.h"
#include "ops/support.h"

namespace pupil::testing {
namespace {

using ops_test::distance;
using ops_test::normal;

class Fuse : public ConvertTest {
 protected:
  Fuse() {
    put();
    base_options_ = options();
    base_options_.to = base();
  }

  fs::path base() const { return more_.path() / "base"; }
  fs::path adapter() const { return more_.path() / "adapter"; }

  void pack(const Quantization& packing) {
    base_options_.quantize = {packing.group_size, packing.bits, packing.mode};
  }

  /// The base with an adapter whose every array is random, `size` its B's.
  Decoder with_adapter(const LoraConfig& config, float size) {
    convert(base_options_);
    auto model = load_decoder(base());
    attach_lora(model, config, 1);
    for_each_linear(model, [&](const std::string& path, Linear& linear) {
      if (!linear.lora) return;
      linear.lora->b = size * normal(linear.lora->b.shape(), path.size());
      auto& magnitude = linear.lora->magnitude;
      if (magnitude) magnitude->m = 1.1f * magnitude->m;
    });
    update_norms(model);
    fs::create_directories(adapter());
    save_adapter_tensors(model, adapter() / "adapters.safetensors");
    write_file_atomically(
        adapter() / "adapter_config.json", adapter_config_text(config, model, base()));
    return model;
  }

  FuseOptions fuse_options() const { return {base(), adapter(), to()}; }

  FuseSummary fuse(const FuseOptions& options) {
    return fuse_model(options, [](size_t, size_t, int64_t) {});
  }

  static mx::array logits(const Decoder& model) {
    auto hidden = sequence_hidden(model, mx::array({5, 9, 33, 12, 40, 7}, {1, 6}));
    return model.head(hidden);
  }

  ConvertOptions base_options_;

 private:
  TempDir more_;
};

TEST_F(Fuse, OfDenseWeightsGivesTheSameLogits) {
  for (const char* type : {"lora", "dora"}) {
    fs::remove_all(base()), fs::remove_all(to());
    auto expected = logits(with_adapter({.fine_tune_type = type, .rank = 4}, 0.3f));
    auto summary = fuse(fuse_options());
    EXPECT_GT(distance(expected, logits(load_decoder(base()))), 0.1f);
    EXPECT_LT(distance(expected, logits(load_decoder(to()))), 2e-3f) << type;
    EXPECT_EQ(summary.total().loss(), 0);
    EXPECT_GT(summary.total().effect(), 0);
  }
}

TEST_F(Fuse, OfPackedWeightsUnpackedGivesTheSameLogits) {
  for (const Quantization& packing :
       {Quantization{32, 4}, {32, 8}, {32, 4, QuantMode::mxfp4}}) {
    fs::remove_all(base()), fs::remove_all(to());
    pack(packing);
    auto expected = logits(with_adapter({.rank = 4}, 0.3f));
    auto options = fuse_options();
    options.dequantize = true;
    fuse(options);
    EXPECT_FALSE(config().contains("quantization"));
    EXPECT_LT(distance(expected, logits(load_decoder(to()))), 3e-2f);
  }
}

// Codes of 8 bits hold what the adapter adds; between those of 2 or 4 bits all of it is
// lost, as the sum rounds to the codes that were there.
TEST_F(Fuse, PackedAgainTellsWhatThatLost) {
  std::map<int, double> losses;
  for (int bits : {2, 4, 8}) {
    fs::remove_all(base()), fs::remove_all(to());
    pack({32, bits});
    auto model = with_adapter({.rank = 4}, 0.05f);
    losses[bits] = fuse(fuse_options()).total().loss();
    EXPECT_EQ(config()["quantization"]["bits"], bits);
    EXPECT_EQ(load_decoder(to()).config.num_layers, model.config.num_layers);
  }
  EXPECT_LT(losses[8], 0.2);
  EXPECT_GT(losses[4], 0.9);
  EXPECT_GT(losses[2], 0.9);
}

// What the adapter does not touch is copied to the bit.
TEST_F(Fuse, LeavesTheRestAlone) {
  pack({32, 4});
  with_adapter({.rank = 4, .keys = "self_attn.q_proj"}, 0.3f);
  auto summary = fuse(fuse_options());
  ASSERT_EQ(summary.moves.size(), 1u);
  EXPECT_EQ(summary.moves.begin()->first, "q_proj");
  auto before = mx::load_safetensors((base() / "model.safetensors").string()).first;
  auto after = written();
  ASSERT_EQ(before.size(), after.size());
  for (const auto& [name, tensor] : before) {
    bool adapted = name.find("q_proj.") != name.npos;
    EXPECT_EQ(same(tensor, after.at(name)), !adapted) << name;
  }
}

// mlx_lm.convert --dtype leaves the old torch_dtype in config.json: fusing casts
// nothing to it.
TEST_F(Fuse, KeepsTheTypesOfArraysWhateverTheConfigurationSays) {
  for (bool is_packed : {false, true}) {
    fs::remove_all(base()), fs::remove_all(to());
    base_options_.dtype = mx::float16;
    if (is_packed) pack({32, 4});
    with_adapter({.rank = 4, .keys = "self_attn.q_proj"}, 0.3f);
    auto config = read_json_file(base() / "config.json");
    config["torch_dtype"] = "bfloat16";
    write_text(base() / "config.json", config.dump());
    fuse(fuse_options());
    auto before = mx::load_safetensors((base() / "model.safetensors").string()).first;
    for (const auto& [name, tensor] : written()) {
      EXPECT_EQ(tensor.dtype(), before.at(name).dtype()) << name;
      bool adapted = name.find("q_proj.") != name.npos;
      EXPECT_EQ(same(tensor, before.at(name)), !adapted) << name;
    }
  }
}

TEST_F(Fuse, OfWholeWeightsIsThoseWeights) {
  base_options_.dtype = mx::float32;
  convert(base_options_);
  auto model = load_decoder(base());
  LoraConfig config{.fine_tune_type = "full"};
  attach_lora(model, config, 1);
  auto arrays = trained_arrays(model);
  for (auto& array : arrays) array = array + 0.1f * normal(array.shape(), 3);
  assign_trained(model, arrays);
  fs::create_directories(adapter());
  save_adapter_tensors(model, adapter() / "adapters.safetensors");
  write_file_atomically(
      adapter() / "adapter_config.json", adapter_config_text(config, model, base()));
  fuse(fuse_options());
  EXPECT_LT(distance(logits(model), logits(load_decoder(to()))), 1e-6f);
}

TEST_F(Fuse, WhatDoesNotFitLeavesNothingBehind) {
  with_adapter({.rank = 4}, 0.3f);
  auto refused = [&](const FuseOptions& options, const char* says) {
    auto text = refusal([&] { fuse(options); });
    EXPECT_NE(text.find(says), text.npos) << text;
    EXPECT_FALSE(fs::exists(to()));
  };
  auto options = fuse_options();
  options.adapter = base();
  refused(options, "adapter_config.json");
  options.adapter = from() / "none";
  refused(options, "none");
  options = fuse_options();
  options.model = from() / "none";
  refused(options, "none");
  write_text(adapter() / "adapters.safetensors", "no tensors");
  refused(fuse_options(), "adapters.safetensors");
}

}  // namespace
}  // namespace pupil::testing
