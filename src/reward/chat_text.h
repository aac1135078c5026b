// Text that came from outside, made fit for one line of a log.

#pragma once

#include <string>
#include <string_view>

namespace pupil {

/// `text` on one line of at most `max_bytes`: control characters become spaces, a run
/// of spaces becomes one, bytes that are no UTF-8 become '?', "..." marks what was cut.
std::string one_line(std::string_view text, size_t max_bytes = 300);

/// `text` with every occurrence of `secret` replaced by "[key]".
std::string without_secret(std::string text, const std::string& secret);

/// The length of the UTF-8 sequence that starts at `text[at]`; 0 where there is none.
size_t utf8_length(std::string_view text, size_t at);

}  // namespace pupil
