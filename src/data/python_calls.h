// As much of Python's grammar as it takes to see which function a test calls. It does
// not check syntax: the sandbox's interpreter does.

#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pupil {

/// True for an ASCII identifier that is not a keyword.
bool is_python_name(std::string_view text);

/// One `name(...)` in a piece of source.
struct PythonCall {
  std::string name;
  std::string text;  // "name(arguments)"; up to the end where the bracket never closes
};

/// The calls of plain names in `source`, from left to right: not of attributes, not in
/// strings or comments, and not the names in `def name(...)` and `class name(...)`.
std::vector<PythonCall> python_calls(std::string_view source);

/// The names of the functions that `source` defines, from left to right.
std::vector<std::string> python_functions(std::string_view source);

/// The names of the classes that `source` defines, from left to right.
std::vector<std::string> python_classes(std::string_view source);

/// True for a name that Python itself defines as a function, such as `sorted`.
bool is_python_builtin(std::string_view name);

}  // namespace pupil
