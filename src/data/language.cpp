#include "data/language.h"

#include <utility>

namespace pupil {
namespace {

constexpr std::pair<std::string_view, Language> kNames[] = {
    {"python", Language::python},
    {"python3", Language::python},
    {"py", Language::python},
    {"javascript", Language::javascript},
    {"js", Language::javascript},
    {"node", Language::javascript},
    {"nodejs", Language::javascript},
    {"c++", Language::cpp},
    {"cpp", Language::cpp},
    {"cc", Language::cpp},
    {"cxx", Language::cpp},
    {"rust", Language::rust},
    {"rs", Language::rust},
    {"bash", Language::bash},
    {"sh", Language::bash},
    {"shell", Language::bash}};

}  // namespace

std::optional<Language> language_named(std::string_view word) {
  for (const auto& [name, language] : kNames) {
    if (word == name) return language;
  }
  return std::nullopt;
}

}  // namespace pupil
