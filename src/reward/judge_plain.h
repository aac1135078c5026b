// What of an answer is program, and what merely talks: comments, docstrings, prose
// around the code. Pure functions over hostile text.

#pragma once

#include <string>
#include <string_view>

namespace pupil {

/// The insides of all ``` fences, an unclosed one included; all of `answer` if there is
/// none. What stands outside goes to `outside`, if given.
std::string fenced(std::string_view answer, std::string* outside = nullptr);

/// Whether a language's comments begin with '#'; all others are read like C's.
bool has_hash_comments(std::string_view language);

struct PlainCode {
  std::string code;  // without comments and docstrings; strings that talk are empty
  std::string talk;  // all that is not in `code`
};

/// Takes the talk out of an answer. A reader of tokens, not a parser: it knows strings,
/// comments and, in Python, strings that stand as a statement.
PlainCode plain_code(std::string_view answer, std::string_view language);

/// Whether text reads as if it was meant for a judge: grades, instructions, roles.
bool speaks_to_judge(std::string_view text);

/// Whether an answer deserves a second look without its talk: that speaks to a judge,
/// or some characters do not show.
bool is_suspicious(std::string_view answer, std::string_view language);

}  // namespace pupil
