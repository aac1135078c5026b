#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace pupil {

/// Periods of the rotary dimensions, [head_dim / 2], from config.json's `rope_theta`
/// and `rope_scaling` (or `rope_parameters`, which holds both): types default, linear
/// and llama3. Throws std::invalid_argument for another type or a bad number.
std::vector<float> read_rope_periods(
    const nlohmann::json& config, int head_dim, const std::string& source);

}  // namespace pupil
