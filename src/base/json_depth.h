// JSON within JSON: copying and printing it takes a stack as deep as it is.

#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace pupil {

/// What an error says of a text that `is_nested_too_deep`.
inline constexpr const char* kNestedTooDeep = "nested deeper than 64";

/// Whether lists and objects stand in one another more than 64 deep in `text`, which
/// need not be JSON. Brackets in quotes do not count.
bool is_nested_too_deep(std::string_view text);

/// Parses all of `text`; a discarded value where it is not JSON or nested too deep.
nlohmann::json json_or_discarded(std::string_view text);

}  // namespace pupil
