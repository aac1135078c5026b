// JSON of files and requests that nobody has checked yet.

#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace pupil {

/// Parses all of `text`. Throws std::invalid_argument "`source`: what, at which byte".
nlohmann::json parse_json(std::string_view text, const std::string& source);

/// Parses the file `path`, at most 256 MB. Throws std::invalid_argument naming it.
nlohmann::json read_json_file(const std::string& path);

/// The text of `json`, on one line without `indent`. Bytes that are no UTF-8 become
/// U+FFFD: a model's output must not end a run.
template <class Json>
std::string json_text(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace pupil
