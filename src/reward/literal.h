// Python values as data: read from literals in test files and from what a box sends
// back, and compared as Python compares them, without a Python that somebody else
// controls.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pupil {

/// A Python value of a literal's types, or a value of another type, of which we know
/// the type's name alone.
struct Value {
  enum class Kind {
    none,
    boolean,
    integer,
    real,
    complex,
    string,
    bytes,
    tuple,
    list,
    set,
    dict,
    other
  };
  Kind kind = Kind::none;
  std::string text{};  // string and bytes: the bytes (UTF-8, lone surrogates too);
                       // integer: hexadecimal, "-ff"; other: the type's name
  double real = 0;     // real and complex; boolean: 0 or 1
  double imaginary = 0;
  std::vector<Value> items{};  // of a dict: key, value, key, value, ...
};

/// Reads one literal from the front of `text`, white space and comments before it too,
/// and advances `text` behind it. Takes what ast.literal_eval takes but f-strings,
/// \N{...} and arithmetic other than a complex number; nesting up to 60, integers up to
/// 4300 digits, as Python. None, with `text` as it was, where there is no such literal.
std::optional<Value> read_literal(std::string_view& text);

/// Skips white space, line ends, comments and backslash-newline.
void skip_blank(std::string_view& text);

/// Reads one value in the boxes' encoding (grader_programs.h) from the front of `bytes`
/// and advances behind it. None if it is broken; hostile input is bounded by its
/// length.
std::optional<Value> decode_value(std::string_view& bytes);

/// A text that two values share exactly if Python calls them equal: 1 == 1.0 == True,
/// -0.0 == 0.0, sets and dicts in any order, a list never equals a tuple, and nothing
/// equals nan or a value of another type. (Each call gives those a text of their own.)
std::string canonical(const Value& value);

inline bool python_equal(const Value& a, const Value& b) {
  return canonical(a) == canonical(b);
}

/// A short text for messages, "[1, 2, ...]", at most about `limit` bytes.
std::string preview(const Value& value, size_t limit = 80);

}  // namespace pupil
