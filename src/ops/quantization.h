// How MLX packs a matrix: its modes, and the sizes that each of them has.

#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace pupil {

/// What a code stands for, as MLX and mlx-lm name it in "mode".
enum class QuantMode {
  affine,  // scale * code + bias, both floats
  mxfp4,   // e2m1 times a power of two (e8m0), OCP microscaling formats v1.0
  mxfp8,   // e4m3 times a power of two
  nvfp4,   // e2m1 times an e4m3 number
};

/// A mode with its sizes: `group_size` inputs of an output share a scale.
struct Quantization {
  int group_size;
  int bits;
  QuantMode mode = QuantMode::affine;

  auto operator<=>(const Quantization&) const = default;
};

/// "affine", ...
std::string mode_name(QuantMode mode);
std::optional<QuantMode> find_mode(std::string_view name);

/// "affine, mxfp4, mxfp8, nvfp4"
std::string known_modes();

/// What MLX takes where nothing else is said: 4 bits in groups of 64 for affine; the
/// others have no choice.
Quantization usual_quantization(QuantMode mode);

/// Nothing if MLX has these sizes; else "expected ..., got ...".
std::optional<std::string> wrong_sizes(const Quantization& packing);

}  // namespace pupil
