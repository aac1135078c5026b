// The tokens of Python literals: numbers and strings. For literal_parser.cpp alone.

#pragma once

#include "reward/literal.h"

namespace pupil {

/// Takes `token` off the front of `text`, if it is there.
inline bool take_token(std::string_view& text, std::string_view token) {
  if (!text.starts_with(token)) return false;
  text.remove_prefix(token.size());
  return true;
}

/// An unsigned number: integer of any base, float, or imaginary.
std::optional<Value> read_number(std::string_view& text);

/// String or bytes literals in a row, joined.
std::optional<Value> read_strings(std::string_view& text);

}  // namespace pupil
