#include "models/lora.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>

#include "base/random.h"

namespace pupil {

namespace {

void for_each_block_linear(
    DecoderLayer& layer, const std::function<void(const std::string&, Linear&)>& f) {
  f("self_attn.q_proj", layer.self_attn.q_proj);
  f("self_attn.k_proj", layer.self_attn.k_proj);
  f("self_attn.v_proj", layer.self_attn.v_proj);
  f("self_attn.o_proj", layer.self_attn.o_proj);
  f("mlp.gate_proj", layer.mlp.gate_proj);
  f("mlp.up_proj", layer.mlp.up_proj);
  f("mlp.down_proj", layer.mlp.down_proj);
}

Lora fresh_lora(const Linear& linear, const LoraConfig& config, uint64_t seed) {
  float bound = 1.0f / std::sqrt(static_cast<float>(linear.in));
  auto a = mx::random::uniform(
      -bound, bound, {linear.in, config.rank}, mx::float32, mx::random::key(seed));
  auto b = mx::zeros({config.rank, linear.out}, mx::float32);
  mx::eval(a, b);
  return {a, b, config.scale};
}

void expect_known_keys(const std::vector<std::string>& keys) {
  std::string names = "all_linear";
  for (const char* name : kLoraKeys) names += std::string(", ") + name;
  for (const auto& key : keys) {
    if (std::count(kLoraKeys.begin(), kLoraKeys.end(), key) > 0) continue;
    throw std::invalid_argument(
        "[lora] keys: no module '" + key + "'; known: " + names);
  }
}

}  // namespace

std::vector<std::string> listed_keys(const std::string& keys) {
  std::vector<std::string> parts;
  std::istringstream in(keys);
  for (std::string part; std::getline(in, part, ',');) {
    part.erase(0, part.find_first_not_of(" \t"));
    part.erase(part.find_last_not_of(" \t") + 1);
    if (part == "all_linear") return {kLoraKeys.begin(), kLoraKeys.end()};
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

void for_each_linear(
    Decoder& model, const std::function<void(const std::string&, Linear&)>& f) {
  auto& layers = model.model.layers;
  for (size_t i = 0; i < layers.size(); ++i) {
    auto scope = "model.layers." + std::to_string(i) + ".";
    for_each_block_linear(layers[i], [&](const std::string& name, Linear& linear) {
      f(scope + name, linear);
    });
  }
}

void attach_lora(Decoder& model, const LoraConfig& config, uint64_t seed) {
  auto keys = listed_keys(config.keys);
  if (keys.empty()) throw std::invalid_argument("[lora] keys selects no module");
  expect_known_keys(keys);
  auto& layers = model.model.layers;
  int count = static_cast<int>(layers.size());
  int first = config.num_layers < 0 ? 0 : std::max(0, count - config.num_layers);
  uint64_t next = 0;
  for (int i = first; i < count; ++i) {
    for_each_block_linear(layers[i], [&](const std::string& name, Linear& linear) {
      if (std::count(keys.begin(), keys.end(), name) == 0) return;
      linear.lora = fresh_lora(linear, config, keyed_bits({seed, next++}));
    });
  }
  if (next == 0)
    throw std::invalid_argument("[lora] num_layers is 0: nothing to train");
}

Decoder without_lora(Decoder model) {
  for_each_linear(
      model, [](const std::string&, Linear& linear) { linear.lora.reset(); });
  return model;
}

}  // namespace pupil
