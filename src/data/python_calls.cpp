#include "data/python_calls.h"

#include <algorithm>
#include <array>

namespace pupil {
namespace {

constexpr std::array<std::string_view, 35> kKeywords{
    "False",  "None",   "True",    "and",      "as",       "assert", "async",
    "await",  "break",  "class",   "continue", "def",      "del",    "elif",
    "else",   "except", "finally", "for",      "from",     "global", "if",
    "import", "in",     "is",      "lambda",   "nonlocal", "not",    "or",
    "pass",   "raise",  "return",  "try",      "while",    "with",   "yield"};

constexpr std::array<std::string_view, 50> kBuiltins{
    "abs",       "all",        "any",        "ascii",  "bin",     "bool",
    "bytearray", "bytes",      "callable",   "chr",    "complex", "dict",
    "dir",       "divmod",     "enumerate",  "filter", "float",   "format",
    "frozenset", "getattr",    "hasattr",    "hash",   "hex",     "id",
    "int",       "isinstance", "issubclass", "iter",   "len",     "list",
    "map",       "max",        "min",        "next",   "object",  "oct",
    "ord",       "pow",        "print",      "range",  "repr",    "reversed",
    "round",     "set",        "sorted",     "str",    "sum",     "tuple",
    "type",      "zip"};

template <class Names>
bool has(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool starts_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool in_name(char c) {
  return starts_name(c) || (c >= '0' && c <= '9');
}

/// The end of the string literal that begins at `at`.
size_t end_of_string(std::string_view source, size_t at) {
  char quote = source[at];
  std::string triple(3, quote);
  bool is_triple = source.substr(at, 3) == triple;
  size_t i = at + (is_triple ? 3 : 1);
  for (; i < source.size(); ++i) {
    if (source[i] == '\\') {
      ++i;
    } else if (is_triple ? source.substr(i, 3) == triple : source[i] == quote) {
      return i + (is_triple ? 3 : 1);
    } else if (!is_triple && source[i] == '\n') {
      return i;
    }
  }
  return source.size();
}

/// The end of the token at `at`: a string, a comment, a name or number, or one byte.
size_t end_of_token(std::string_view source, size_t at) {
  char c = source[at];
  if (c == '"' || c == '\'') return end_of_string(source, at);
  if (c == '#') return std::min(source.find('\n', at), source.size());
  size_t end = at;
  while (end < source.size() && in_name(source[end])) ++end;
  return std::max(end, at + 1);
}

/// The end of the bracket that opens at `open`.
size_t end_of_bracket(std::string_view source, size_t open) {
  int depth = 0;
  for (size_t i = open; i < source.size();) {
    size_t end = end_of_token(source, i);
    char c = source[i];
    if (c == '(' || c == '[' || c == '{') ++depth;
    if (c == ')' || c == ']' || c == '}') --depth;
    i = end;
    if (depth == 0) return i;
  }
  return source.size();
}

/// Calls `visit(name, after, previous)` for each plain name: where it ends, and the
/// token before it ("" at the start).
template <class F>
void for_each_name(std::string_view source, F&& visit) {
  std::string_view previous;
  for (size_t i = 0; i < source.size();) {
    size_t end = end_of_token(source, i);
    auto token = source.substr(i, end - i);
    if (starts_name(token[0]) && previous != ".") visit(token, end, previous);
    if (token != " " && token != "\t") previous = token;
    i = end;
  }
}

size_t skip_spaces(std::string_view source, size_t at) {
  return std::min(source.find_first_not_of(" \t", at), source.size());
}

std::vector<std::string> names_after(
    std::string_view keyword, std::string_view source) {
  std::vector<std::string> names;
  for_each_name(source, [&](auto name, size_t, auto previous) {
    if (previous == keyword) names.emplace_back(name);
  });
  return names;
}

}  // namespace

bool is_python_name(std::string_view text) {
  return !text.empty() && starts_name(text[0]) &&
         std::all_of(text.begin(), text.end(), in_name) && !has(kKeywords, text);
}

bool is_python_builtin(std::string_view name) {
  return has(kBuiltins, name);
}

std::vector<PythonCall> python_calls(std::string_view source) {
  std::vector<PythonCall> calls;
  for_each_name(source, [&](auto name, size_t end, auto previous) {
    size_t open = skip_spaces(source, end);
    if (open == source.size() || source[open] != '(') return;
    if (has(kKeywords, name) || previous == "def" || previous == "class") return;
    size_t start = end - name.size();
    size_t close = end_of_bracket(source, open);
    calls.push_back(
        {std::string(name), std::string(source.substr(start, close - start))});
  });
  return calls;
}

std::vector<std::string> python_functions(std::string_view source) {
  return names_after("def", source);
}

std::vector<std::string> python_classes(std::string_view source) {
  return names_after("class", source);
}

}  // namespace pupil
