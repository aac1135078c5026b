#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pupil {

/// `text` in single quotes for a one-line message: control characters are escaped and
/// what is longer than `max_bytes` is cut, never inside a UTF-8 character, and ends in
/// "...". For text that we did not write: file contents, keys, model output.
std::string in_quotes(std::string_view text, size_t max_bytes = 60);

}  // namespace pupil
