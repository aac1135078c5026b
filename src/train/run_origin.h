// What a run's numbers depend on beside its state: the model, the tokenizer, a
// reference of its own, the data, the settings, the programs and the device. It stands
// in every checkpoint.

#pragma once

#include <nlohmann/json.hpp>

#include "train/checkpoint.h"

namespace pupil {

/// {"model_sha256", "tokenizer_sha256", "ref_model_sha256", "ref_adapter_sha256",
/// "data_sha256", "eval_sha256", "config_sha256", "pupil", "mlx", "device"}, each a
/// text; a key that is missing is not compared.
using RunOrigin = nlohmann::ordered_json;

/// Compares a checkpoint's origin with that of the process that goes on from it. Throws
/// std::invalid_argument if the model, the tokenizer or the reference is another one;
/// `warn` is told of the rest.
void check_origin(
    const nlohmann::json& saved, const RunOrigin& now, const WarnFn& warn);

}  // namespace pupil
