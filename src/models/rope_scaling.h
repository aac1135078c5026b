#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace pupil {

/// Where config.json names a rotary embedding.
struct RopeSource {
  const char* layer_type = "full_attention";  // its key where rope_parameters has two
  const char* theta_key = "rope_theta";
  double theta = 10000;
  bool is_scaled = true;  // "rope_scaling" is about it
};

/// That of Gemma 3's windowed layers.
inline constexpr RopeSource kLocalRope = {
    "sliding_attention", "rope_local_base_freq", 10000, false};

struct RopeSettings {
  std::vector<float> periods;  // [R / 2], R the dimensions that turn
  float scale = 1;             // of cosines and sines
  int max_positions = 0;       // up to which the periods are right; 0: no bound
};

/// From config.json's `rope_theta`, `partial_rotary_factor` and `rope_scaling` (or
/// `rope_parameters`, which holds all three): types default, linear, llama3, yarn,
/// dynamic and longrope. The periods of the last two depend on a sequence's length
/// beyond `max_positions`, where we do not follow. Throws std::invalid_argument for
/// another type or a bad number.
RopeSettings read_rope(
    const nlohmann::json& config,
    int head_dim,
    const std::string& source,
    const RopeSource& from = {});

}  // namespace pupil
