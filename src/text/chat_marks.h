// Tells special-token literals of messages from those of the template around them.

#pragma once

#include <pupil_text.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/types.h"

namespace pupil {

/// Whether any special literal stands in a message.
bool has_special(
    std::span<const Message> messages, const std::vector<std::string>& special);

/// The messages with the first character of every special literal replaced by another
/// of the same size, so that lengths and slices stay. Nothing where that cannot be
/// done: no replacement leaves the text free of special literals.
std::optional<std::vector<Message>> disguise(
    std::span<const Message> messages, const std::vector<std::string>& special);

/// Where `disguised` differs from `text`: the literals that came from messages. Nothing
/// where it differs in more than the first characters of `special`, since the template
/// then looked into the content and took another way.
std::optional<std::vector<pt_span>> disguised_spans(
    std::string_view text,
    std::string_view disguised,
    const std::vector<std::string>& special);

/// The messages with each special literal between two private-use characters.
std::vector<Message> wrap_special(
    std::span<const Message> messages, const std::vector<std::string>& special);

/// Takes those characters out of `text` again and returns what stood between two of
/// them, and an empty span where one stood alone.
std::vector<pt_span> unwrap(std::string& text);

}  // namespace pupil
