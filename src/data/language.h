// The languages in which an answer's program may be written.

#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace pupil {

enum class Language { python, javascript, cpp, rust, bash };

inline constexpr std::array<Language, 5> kLanguages = {
    Language::python,
    Language::javascript,
    Language::cpp,
    Language::rust,
    Language::bash};

/// As tasks files and messages spell it.
constexpr const char* name_of(Language language) {
  switch (language) {
    case Language::python:
      return "python";
    case Language::javascript:
      return "javascript";
    case Language::cpp:
      return "c++";
    case Language::rust:
      return "rust";
    case Language::bash:
      return "bash";
  }
  return "";
}

/// The language that a task or the mark of a code fence names, in lower case: "python",
/// "py", "js", "cpp", ... None for any other word.
std::optional<Language> language_named(std::string_view word);

}  // namespace pupil
