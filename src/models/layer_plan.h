// What config.json says of single layers: windows, rotations, experts.

#pragma once

#include <vector>

#include "models/families.h"
#include "models/json_fields.h"

namespace pupil {

/// One for each layer. "layer_types" decides which are windowed where it is there, the
/// family's rule where not. Throws std::invalid_argument for a layer type or setting
/// that we do not have.
std::vector<LayerConfig> plan_layers(
    const JsonFields& fields, const Family& family, int num_layers);

/// The experts of the sparse layers.
ExpertsConfig read_experts(const JsonFields& fields);

}  // namespace pupil
