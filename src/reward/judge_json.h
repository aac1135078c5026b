// What the parsers of judges' replies share. Everything here is total: no reply makes
// it throw.

#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace pupil {

inline constexpr size_t kMaxReplyBytes = 64 << 10;

/// The reply without blanks around it, one leading <think> block and one code fence.
std::string_view bare_reply(std::string_view text);

/// Parses one JSON object. Discarded: anything else, a key that comes twice in one
/// object (it could hide a second grade), objects or arrays nested more than `deepest`
/// times, more than kMaxReplyBytes.
nlohmann::json parse_strict(std::string_view text, int deepest);

}  // namespace pupil
