#include "ops/quantization.h"

#include <algorithm>
#include <array>

namespace pupil {
namespace {

constexpr std::array kModes = {
    QuantMode::affine, QuantMode::mxfp4, QuantMode::mxfp8, QuantMode::nvfp4};

bool has_sizes(const Quantization& packing) {
  if (packing.mode != QuantMode::affine)
    return packing == usual_quantization(packing.mode);
  constexpr std::array kGroups = {32, 64, 128};
  constexpr std::array kBits = {2, 3, 4, 5, 6, 8};
  return std::count(kGroups.begin(), kGroups.end(), packing.group_size) == 1 &&
         std::count(kBits.begin(), kBits.end(), packing.bits) == 1;
}

std::string sizes_text(const std::string& bits, const std::string& group) {
  return bits + " bits in groups of " + group;
}

}  // namespace

std::string mode_name(QuantMode mode) {
  switch (mode) {
    case QuantMode::affine:
      return "affine";
    case QuantMode::mxfp4:
      return "mxfp4";
    case QuantMode::mxfp8:
      return "mxfp8";
    case QuantMode::nvfp4:
      return "nvfp4";
  }
  return {};
}

std::optional<QuantMode> find_mode(std::string_view name) {
  for (auto mode : kModes)
    if (mode_name(mode) == name) return mode;
  return std::nullopt;
}

std::string known_modes() {
  std::string names;
  for (auto mode : kModes) names += (names.empty() ? "" : ", ") + mode_name(mode);
  return names;
}

Quantization usual_quantization(QuantMode mode) {
  switch (mode) {
    case QuantMode::affine:
      return {64, 4, mode};
    case QuantMode::mxfp4:
      return {32, 4, mode};
    case QuantMode::mxfp8:
      return {32, 8, mode};
    case QuantMode::nvfp4:
      return {16, 4, mode};
  }
  return {};
}

std::optional<std::string> wrong_sizes(const Quantization& packing) {
  if (has_sizes(packing)) return std::nullopt;
  auto only = usual_quantization(packing.mode);
  auto known =
      packing.mode == QuantMode::affine
          ? sizes_text("2, 3, 4, 5, 6 or 8", "32, 64 or 128")
          : sizes_text(std::to_string(only.bits), std::to_string(only.group_size));
  return "expected " + known + " for mode " + mode_name(packing.mode) + ", got " +
         sizes_text(std::to_string(packing.bits), std::to_string(packing.group_size));
}

}  // namespace pupil
