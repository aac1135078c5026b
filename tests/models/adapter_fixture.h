// A folder for an adapter of the tiny decoder, and what changes where it is loaded.

#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "models/adapter_files.h"
#include "models/adapters.h"
#include "models/attend.h"
#include "support/files.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace pupil::testing {

using nlohmann::json;

inline mx::array logits(const Decoder& model) {
  auto tokens = mx::remainder(mx::arange(40), mx::array(48));
  auto hidden =
      sequence_hidden(model, mx::reshape(mx::astype(tokens, mx::int32), {2, 20}));
  return model.head(mx::reshape(hidden, {40, -1}));
}

inline bool same(const mx::array& a, const mx::array& b) {
  return mx::array_equal(a, b).item<bool>();
}

inline mx::array noise(const mx::Shape& shape, uint64_t seed) {
  return mx::random::normal(shape, mx::float32, 0.0f, 0.1f, mx::random::key(seed));
}

class Adapters : public ::testing::Test {
 protected:
  std::string dir() const { return folder_.path(); }

  // A decoder with an adapter that changes something.
  Decoder adapted(const LoraConfig& config) {
    auto model = tiny_decoder();
    attach_lora(model, config, 1);
    uint64_t seed = 0;
    for_each_linear(model, [&](const std::string&, Linear& linear) {
      if (!linear.lora) return;
      linear.lora->b = noise(linear.lora->b.shape(), ++seed);
      auto& magnitude = linear.lora->magnitude;
      if (magnitude) magnitude->m = magnitude->m + noise({linear.out}, ++seed);
    });
    update_norms(model);
    return model;
  }
  void put(const json& config) {
    write_text(dir() + "/adapter_config.json", config.dump());
  }
  void put(const Decoder& model, const LoraConfig& config) {
    save_adapter_tensors(model, dir() + "/adapters.safetensors");
    write_text(
        dir() + "/adapter_config.json",
        adapter_config_text(config, tiny_decoder(), "/models/tiny"));
  }
  // Why it cannot be loaded; then the model is as before.
  std::string error() {
    auto model = adapted({});
    auto before = logits(model);
    auto text = refusal([&] { load_adapters(model, dir()); });
    if (text != "accepted") {
      EXPECT_TRUE(has(text, dir()));
      EXPECT_TRUE(same(logits(model), before));
    }
    return text;
  }

 private:
  TempDir folder_;
};

}  // namespace pupil::testing
