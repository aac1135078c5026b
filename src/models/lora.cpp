#include "models/lora.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>
#include <stdexcept>

#include "base/random.h"

namespace pupil {

namespace {

using LinearFn = std::function<void(const std::string&, Linear&)>;

// In the order of kLoraKeys.
void for_each_block_linear(DecoderLayer& layer, const LinearFn& f) {
  auto maybe = [&](const char* name, std::optional<Linear>& linear) {
    if (linear) f(name, *linear);
  };
  auto& attention = layer.self_attn;
  maybe("self_attn.q_proj", attention.q_proj);
  maybe("self_attn.k_proj", attention.k_proj);
  maybe("self_attn.v_proj", attention.v_proj);
  maybe("self_attn.qkv_proj", attention.qkv_proj);
  f("self_attn.o_proj", attention.o_proj);
  if (layer.sparse_mlp) f("mlp.gate", layer.sparse_mlp->gate);
  if (!layer.mlp) return;
  maybe("mlp.gate_proj", layer.mlp->gate_proj);
  maybe("mlp.up_proj", layer.mlp->up_proj);
  maybe("mlp.gate_up_proj", layer.mlp->gate_up_proj);
  f("mlp.down_proj", layer.mlp->down_proj);
}

// In the order of kExpertKeys.
template <class F>
void for_each_block_expert(DecoderLayer& layer, F&& f) {
  if (!layer.sparse_mlp) return;
  auto& experts = layer.sparse_mlp->switch_mlp;
  f("mlp.switch_mlp.gate_proj", experts.gate_proj);
  f("mlp.switch_mlp.up_proj", experts.up_proj);
  f("mlp.switch_mlp.down_proj", experts.down_proj);
}

std::set<std::string> modules_of(const Decoder& model) {
  std::set<std::string> present;
  for (const auto& layer : model.model.layers)
    for_each_leaf(layer, "", [&](const std::string& path, const mx::array&) {
      present.insert(path.substr(0, path.rfind('.')));
    });
  return present;
}

// Those of the modules of any block of the model that `word` stands for.
std::vector<std::string> keys_behind(std::string_view word, const Decoder& model) {
  auto present = modules_of(model);
  std::vector<std::string> known;
  auto add = [&](const auto& keys) {
    for (const char* key : keys)
      if (present.contains(key)) known.emplace_back(key);
  };
  if (word != "experts") add(kLoraKeys);
  if (word != "all_linear") add(kExpertKeys);
  if (word == "all") add(kNormKeys);
  return known;
}

// What can be named at all: for an adapter linears and experts, else norms as well.
std::vector<std::string> known_keys(const Decoder& model, bool full) {
  if (full) return keys_behind("all", model);
  auto known = keys_behind("all_linear", model);
  for (auto& key : keys_behind("experts", model)) known.push_back(std::move(key));
  return known;
}

// Lengths of W's rows, [out].
mx::array row_norms(const Linear& linear) {
  auto rows = linear.base.rows(mx::arange(linear.out), mx::float32);
  return mx::sqrt(mx::sum(mx::square(rows), 1));
}

Lora fresh_lora(const Linear& linear, const LoraConfig& config, uint64_t seed) {
  float bound = 1.0f / std::sqrt(static_cast<float>(linear.in));
  auto a = mx::random::uniform(
      -bound, bound, {linear.in, config.rank}, mx::float32, mx::random::key(seed));
  auto b = mx::zeros({config.rank, linear.out}, mx::float32);
  Lora lora{a, b, scale_of(config)};
  lora.dropout = static_cast<float>(config.dropout);
  if (config.fine_tune_type == "dora") {
    auto norms = row_norms(linear);
    lora.magnitude = Magnitude{norms, norms, norms};
  }
  return lora;
}

// One of each expert.
Lora fresh_lora(const ExpertLinear& linear, const LoraConfig& config, uint64_t seed) {
  float bound = 1.0f / std::sqrt(static_cast<float>(linear.in));
  auto a = mx::random::uniform(
      -bound,
      bound,
      {linear.count, config.rank, linear.in},
      mx::float32,
      mx::random::key(seed));
  auto b = mx::zeros({linear.count, linear.out, config.rank}, mx::float32);
  Lora lora{a, b, scale_of(config)};
  lora.dropout = static_cast<float>(config.dropout);
  return lora;
}

// The rows' lengths of W + s (A B)^T, [out], without forming that matrix:
//   |w|^2 + 2 s sum_r (W A)_r b_r + s^2 b (A^T A) b
mx::array adapted_norms(const Linear& linear) {
  const auto& l = *linear.lora;
  auto down = linear.base(mx::contiguous(mx::transpose(l.a)));  // [rank, out]
  auto gram = mx::matmul(mx::transpose(l.a), l.a);              // [rank, rank]
  auto mixed = mx::sum(down * l.b, 0) * (2.0f * l.scale);
  auto own = mx::sum(l.b * mx::matmul(gram, l.b), 0) * (l.scale * l.scale);
  return mx::sqrt(mx::square(l.magnitude->own_norm) + mixed + own);
}

void expect_known_keys(
    const std::vector<std::string>& keys, const Decoder& model, bool full) {
  auto known = known_keys(model, full);
  std::string names = full ? "all, all_linear" : "all_linear";
  if (!keys_behind("experts", model).empty()) names += ", experts";
  for (const auto& name : known) names += ", " + name;
  for (const auto& key : keys) {
    if (std::count(known.begin(), known.end(), key) > 0) continue;
    throw std::invalid_argument(
        "[lora] keys: no module '" + key + "'" + (full ? "" : " for an adapter") +
        "; known: " + names);
  }
}

void expect_dense(const std::string& path, bool is_packed) {
  if (!is_packed) return;
  throw std::invalid_argument(
      "[lora] fine_tune_type full: " + path +
      ".weight is packed; train an adapter (lora, dora), or convert without -q");
}

void expect_no_dora_of_experts(
    const std::vector<std::string>& keys, const LoraConfig& config) {
  if (config.fine_tune_type != "dora") return;
  for (const char* key : kExpertKeys)
    if (std::count(keys.begin(), keys.end(), key) > 0)
      throw std::invalid_argument(
          std::string("[lora] fine_tune_type dora: ") + key +
          " is of experts, which have LoRA only");
}

// The arrays of a block, by the path of their module.
template <class F>
void for_each_block_array(DecoderLayer& layer, F&& f) {
  for_each_leaf(layer, "", [&](const std::string& path, mx::array& array) {
    f(path.substr(0, path.rfind('.')), path, array);
  });
}

void train_weights(Decoder& model, int first, const std::vector<std::string>& keys) {
  for (size_t i = first; i < model.model.layers.size(); ++i) {
    auto scope = "model.layers." + std::to_string(i) + ".";
    auto is_chosen = [&](const std::string& module) {
      return std::count(keys.begin(), keys.end(), module) > 0;
    };
    for_each_block_linear(
        model.model.layers[i], [&](const std::string& module, const Linear& linear) {
          if (is_chosen(module)) expect_dense(scope + module, linear.base.was_packed);
        });
    for_each_block_expert(
        model.model.layers[i], [&](const char* module, const ExpertLinear& linear) {
          if (is_chosen(module))
            expect_dense(scope + module, linear.scales.has_value());
        });
    auto add = [&](const std::string& module, const std::string& path, mx::array& a) {
      if (!is_chosen(module)) return;
      a = mx::astype(a, mx::float32);
      a.eval();
      model.trained_weights.insert(scope + path);
    };
    for_each_block_array(model.model.layers[i], add);
  }
}

}  // namespace

std::vector<std::string> listed_keys(const std::string& keys, const Decoder& model) {
  std::vector<std::string> parts;
  std::istringstream in(keys);
  for (std::string part; std::getline(in, part, ',');) {
    part.erase(0, part.find_first_not_of(" \t"));
    part.erase(part.find_last_not_of(" \t") + 1);
    bool is_word = part == "all" || part == "all_linear" || part == "experts";
    auto named = is_word ? keys_behind(part, model) : std::vector{part};
    for (auto& key : named)
      if (!key.empty() && std::count(parts.begin(), parts.end(), key) == 0)
        parts.push_back(std::move(key));
  }
  return parts;
}

void for_each_linear(Decoder& model, const LinearFn& f) {
  auto& layers = model.model.layers;
  for (size_t i = 0; i < layers.size(); ++i) {
    auto scope = "model.layers." + std::to_string(i) + ".";
    for_each_block_linear(layers[i], [&](const std::string& name, Linear& linear) {
      f(scope + name, linear);
    });
  }
}

void for_each_adapter(
    Decoder& model,
    const std::function<void(const std::string&, std::optional<Lora>&)>& f) {
  auto& layers = model.model.layers;
  for (size_t i = 0; i < layers.size(); ++i) {
    auto scope = "model.layers." + std::to_string(i) + ".";
    auto visit = [&](const std::string& name, auto& linear) {
      f(scope + name, linear.lora);
    };
    for_each_block_linear(layers[i], visit);
    for_each_block_expert(layers[i], visit);
  }
}

void attach_lora(Decoder& model, const LoraConfig& config, uint64_t seed) {
  lay_out_lora(model, config, seed);
  mx::eval(trained_arrays(model));
}

void lay_out_lora(Decoder& model, const LoraConfig& config, uint64_t seed) {
  auto keys = listed_keys(config.keys, model);
  bool full = config.fine_tune_type == "full";
  if (keys.empty()) throw std::invalid_argument("[lora] keys selects no module");
  expect_known_keys(keys, model, full);
  auto& layers = model.model.layers;
  int count = static_cast<int>(layers.size());
  int first = config.num_layers < 0 ? 0 : std::max(0, count - config.num_layers);
  if (first == count)
    throw std::invalid_argument("[lora] num_layers is 0: nothing to train");
  if (full) return train_weights(model, first, keys);
  expect_no_dora_of_experts(keys, config);
  uint64_t next = 0;
  auto attach = [&](const std::string& name, auto& linear) {
    if (std::count(keys.begin(), keys.end(), name) == 0) return;
    linear.lora = fresh_lora(linear, config, keyed_bits({seed, next++}));
  };
  for (int i = first; i < count; ++i) {
    for_each_block_linear(layers[i], attach);
    for_each_block_expert(layers[i], attach);
  }
}

Decoder without_lora(Decoder model) {
  for_each_adapter(
      model, [](const std::string&, std::optional<Lora>& lora) { lora.reset(); });
  return model;
}

float scale_of(const LoraConfig& config) {
  if (!config.use_rslora) return config.scale;
  return config.scale * std::sqrt(static_cast<float>(config.rank));
}

std::vector<mx::array> trained_arrays(const Decoder& model) {
  return select_parameters(
      model, [&](std::string_view path) { return model.is_trained(path); });
}

std::vector<std::string> trained_paths(const Decoder& model) {
  return select_paths(
      model, [&](std::string_view path) { return model.is_trained(path); });
}

void assign_trained(Decoder& model, const std::vector<mx::array>& arrays) {
  assign_parameters(
      model, arrays, [&](std::string_view path) { return model.is_trained(path); });
}

void update_norms(Decoder& model) {
  std::vector<mx::array> norms;
  for_each_linear(model, [&](const std::string&, Linear& linear) {
    if (!linear.lora || !linear.lora->magnitude) return;
    auto& norm = linear.lora->magnitude->norm;
    norm = adapted_norms(linear);
    norms.push_back(norm);
  });
  mx::eval(norms);
}

void set_dropout_keys(Decoder& model, std::initializer_list<uint64_t> key) {
  uint64_t seed = keyed_bits(key), next = 0;
  for_each_adapter(model, [&](const std::string&, std::optional<Lora>& lora) {
    if (!lora || lora->dropout == 0) return;
    lora->dropout_key = mx::random::key(keyed_bits({seed, next++}));
  });
}

}  // namespace pupil
