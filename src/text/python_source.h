// What a Python program looks like, from its syntax tree. Nothing is run.

#pragma once

#include <string_view>

namespace pupil {

/// Counts over a whole program; all 0 if it does not parse. Programs above 256 KiB and
/// text that is not UTF-8 do not parse.
struct PythonFacts {
  bool parses = false;
  int functions = 0;   // def statements
  int documented = 0;  // those with a docstring
  int comments = 0;
  int statements = 0;    // that do something: no pass, docstring or "..."
  int code_lines = 0;    // lines with code on them
  int nesting = 0;       // deepest nesting of if, for, while, try, with, match
  int loop_nesting = 0;  // deepest nesting of loops, comprehensions included
  int complexity = 0;    // McCabe's, of the most complex function
  int names = 0;         // of parameters and variables, where they are chosen
  int short_names = 0;   // those of one letter
  int odd_names = 0;     // those in mixed case
  int bare_excepts = 0;
};

PythonFacts analyze_python(std::string_view source);

bool parses_as_python(std::string_view source);

}  // namespace pupil
