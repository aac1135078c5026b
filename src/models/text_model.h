// The text model within a multimodal one: Gemma 3's larger sizes hold it beside a
// vision tower, which is left out.

#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace pupil {

/// The configuration of the text model: `config` itself, or for "gemma3" its
/// "text_config" with what Transformers supplies where it is silent. Throws
/// std::invalid_argument if that is no object.
nlohmann::json text_config(const nlohmann::json& config, const std::string& source);

/// The name of a tensor or module within the text model; nothing for one of the vision
/// tower.
std::optional<std::string> text_tensor_name(const std::string& name);

/// What the names of a model's tensors on disk begin with in mlx-lm's layout:
/// "language_model." for "gemma3", else "".
std::string tensor_prefix(const nlohmann::json& config);

}  // namespace pupil
