#include "models/quantize_plan.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace pupil {
namespace {

Quantization common_packing(const QuantizeRequest& request) {
  auto usual = usual_quantization(request.mode);
  Quantization packing{
      request.group_size.value_or(usual.group_size),
      request.bits.value_or(usual.bits),
      request.mode};
  if (auto wrong = wrong_sizes(packing))
    throw std::invalid_argument("[convert] --q-bits and --q-group-size: " + *wrong);
  if (request.recipe && request.mode != QuantMode::affine) {
    throw std::invalid_argument(
        "[convert] --quant-predicate: expected --q-mode affine with a recipe, got " +
        mode_name(request.mode));
  }
  return packing;
}

nlohmann::json json_of(const Quantization& packing) {
  return {
      {"group_size", packing.group_size},
      {"bits", packing.bits},
      {"mode", mode_name(packing.mode)}};
}

bool has(const std::string& module, const char* part) {
  return module.find(part) != module.npos;
}

// 3 of "model.layers.3.mlp.up_proj"; 0 outside the blocks.
int layer_of(const std::string& module) {
  constexpr std::string_view kPrefix = "model.layers.";
  if (!module.starts_with(kPrefix)) return 0;
  return std::atoi(module.c_str() + kPrefix.size());
}

// Modules that mlx-lm's families keep from few bits: small inputs, or a router's
// choice.
struct Delicate {
  std::string_view model_type, module;
};
constexpr std::array kDelicate = {
    Delicate{"qwen3_moe", "mlp.gate"},
    Delicate{"granite", "self_attn.o_proj"},
    Delicate{"granite", "mlp.down_proj"},
    Delicate{"granite", "lm_head"}};
constexpr Quantization kDelicatePacking = {64, 8, QuantMode::affine};

// Where llama.cpp's Q4_K_M spends more bits, as mlx-lm reads it.
bool gets_more_bits(int layer, int num_layers) {
  int eighth = num_layers / 8;
  return layer < eighth || layer >= 7 * num_layers / 8 || (layer - eighth) % 3 == 2;
}

}  // namespace

QuantizePlan::QuantizePlan(
    const QuantizeRequest& request, const std::string& model_type, int num_layers)
    : request_(request),
      common_(common_packing(request)),
      model_type_(model_type),
      num_layers_(num_layers) {}

bool QuantizePlan::is_delicate(const std::string& module) const {
  if (request_.recipe) return false;
  return std::ranges::any_of(kDelicate, [&](const Delicate& delicate) {
    return delicate.model_type == model_type_ && module.ends_with(delicate.module);
  });
}

int QuantizePlan::recipe_bits(const std::string& module) const {
  bool chosen = has(module, "v_proj") || has(module, "down_proj");
  bool more = has(module, "lm_head") ||
              (chosen && gets_more_bits(layer_of(module), num_layers_));
  return more ? request_.recipe->high_bits : request_.recipe->low_bits;
}

std::optional<Quantization> QuantizePlan::packing(
    const std::string& module, const mx::Shape& shape) const {
  auto packing = is_delicate(module) ? kDelicatePacking : common_;
  if (shape.size() < 2 || shape.back() % packing.group_size != 0) return std::nullopt;
  if (request_.recipe) packing.bits = recipe_bits(module);
  return packing;
}

nlohmann::json QuantizePlan::entry(const std::string& module) const {
  if (is_delicate(module))
    return {
        {"group_size", kDelicatePacking.group_size}, {"bits", kDelicatePacking.bits}};
  auto entry = json_of(common_);
  if (!request_.recipe) return entry;
  entry["bits"] = recipe_bits(module);
  if (!request_.group_size) entry["group_size"] = nullptr;
  return entry;
}

nlohmann::json QuantizePlan::block(
    const nlohmann::json& before, const std::vector<std::string>& packed) const {
  if (packed.empty()) return before;
  auto block = before.is_null() ? json_of(common_) : before;
  bool is_common = before.is_null() && !request_.recipe;
  for (const auto& module : packed)
    if (!is_common || is_delicate(module)) block[module] = entry(module);
  return block;
}

nlohmann::json block_of(const Packings& packings) {
  std::map<Quantization, int> counts;
  for (const auto& [_, packing] : packings) ++counts[packing];
  if (counts.empty()) return nullptr;
  auto common = std::max_element(counts.begin(), counts.end(), [](auto& a, auto& b) {
                  return a.second < b.second;
                })->first;
  auto block = json_of(common);
  for (const auto& [module, packing] : packings)
    if (packing != common) block[module] = json_of(packing);
  return block;
}

}  // namespace pupil
