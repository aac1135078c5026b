#include "models/layer_plan.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace pupil {
namespace {

constexpr int kMaxWindow = 1 << 24;

using Layers = std::vector<LayerConfig>;

// "layer_types": whether each layer is windowed.
std::vector<bool> listed_windows(
    const JsonFields& fields, const nlohmann::json& types, size_t num_layers) {
  if (!types.is_array() || types.size() != num_layers)
    fields.fail("layer_types: expected a list of one type for each layer");
  std::vector<bool> windowed;
  for (const auto& type : types) {
    if (type != "full_attention" && type != "sliding_attention")
      fields.fail(
          "layer_types: " + type.dump() +
          " is not supported; known: full_attention, sliding_attention");
    windowed.push_back(type == "sliding_attention");
  }
  return windowed;
}

std::vector<bool> ruled_windows(
    const JsonFields& fields, const Family& family, int num_layers) {
  bool is_late = family.windows == WindowRule::late;
  bool used = fields.boolean("use_sliding_window", family.windows != WindowRule::none);
  if (family.windows == WindowRule::none && used)
    fields.fail("use_sliding_window: this family has no windows; expected false");
  int first = is_late && used ? fields.integer("max_window_layers", 0, 512, 28) : 0;
  int every = family.full_every;
  if (every > 0) every = fields.integer("sliding_window_pattern", 1, 512, every);
  std::vector<bool> windowed;
  for (int i = 0; i < num_layers; ++i) {
    bool is_full = every > 0 && (i + 1) % every == 0;
    windowed.push_back(used && i >= first && !is_full);
  }
  return windowed;
}

void set_windows(const JsonFields& fields, const Family& family, Layers& layers) {
  int count = static_cast<int>(layers.size());
  const auto* types = fields.find("layer_types");
  auto windowed = types ? listed_windows(fields, *types, layers.size())
                        : ruled_windows(fields, family, count);
  if (std::count(windowed.begin(), windowed.end(), true) == 0) return;
  // A window that is null, or missing where a family may do without, is none.
  int window = fields.integer("sliding_window", 1, kMaxWindow, 0);
  if (window == 0 && (types || family.full_every > 0))
    fields.fail("sliding_window is missing, which some layers need");
  for (int i = 0; i < count; ++i)
    if (windowed[i]) layers[i].window = window;
}

void set_ropes(const JsonFields& fields, const Family& family, Layers& layers) {
  if (family.two_ropes) {
    for (auto& layer : layers)
      if (layer.window > 0) layer.rope = LayerRope::local;
  }
  if (!family.has_unturned_layers) return;
  int interval = fields.integer("no_rope_layer_interval", 1, 512, 4);
  std::vector<int> turned;
  for (size_t i = 0; i < layers.size(); ++i)
    turned.push_back((i + 1) % interval != 0 ? 1 : 0);
  turned = fields.integers("no_rope_layers", 0, 1, turned);  // 0: no rotation
  if (turned.size() != layers.size())
    fields.fail("no_rope_layers: expected one number for each layer");
  for (size_t i = 0; i < layers.size(); ++i)
    if (turned[i] == 0) layers[i].rope = LayerRope::none;
}

void set_experts(const JsonFields& fields, Layers& layers) {
  int step = fields.integer("decoder_sparse_step", 1, 512, 1);
  auto dense = fields.integers("mlp_only_layers", 0, 511, {});
  for (int i = 0; i < static_cast<int>(layers.size()); ++i)
    layers[i].is_sparse =
        (i + 1) % step == 0 && std::count(dense.begin(), dense.end(), i) == 0;
}

}  // namespace

Layers plan_layers(const JsonFields& fields, const Family& family, int num_layers) {
  Layers layers(num_layers);
  set_windows(fields, family, layers);
  set_ropes(fields, family, layers);
  if (family.has_experts) set_experts(fields, layers);
  return layers;
}

ExpertsConfig read_experts(const JsonFields& fields) {
  const char* name = fields.find("num_experts") ? "num_experts" : "num_local_experts";
  ExpertsConfig experts;
  experts.count = fields.integer(name, 1, 4096);
  experts.per_token = fields.integer("num_experts_per_tok", 1, experts.count);
  experts.intermediate_size = fields.integer("moe_intermediate_size", 1, 1 << 19);
  experts.norm_topk_prob = fields.boolean("norm_topk_prob", false);
  return experts;
}

}  // namespace pupil
