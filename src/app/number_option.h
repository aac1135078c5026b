// Numbers on the command line.

#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <type_traits>

#include "base/quote.h"
#include "config/schema.h"

namespace pupil {

/// A number as config.yaml takes it: decimal, finite and within `range`.
template <class T>
CLI::Validator within(Range range) {
  auto type = std::is_integral_v<T> ? "an integer" : "a number";
  auto expected = expected_text(type, range, false);
  auto check = [range, expected](std::string& text) {
    T value{};
    if (parse_value(text, range, value)) return std::string();
    return "expected " + expected + ", got " + in_quotes(text);
  };
  return CLI::Validator(check, "");
}

}  // namespace pupil
