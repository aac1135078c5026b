// Compilers and interpreters of this machine that a box can hold beside Python.

#pragma once

#include <string>
#include <vector>

#include "data/language.h"
#include "reward/interpreter.h"

namespace pupil {

struct Toolchain {
  Language language = Language::python;
  std::string missing{};                 // not empty: there is none, and why
  std::string path{};                    // of the real executable: "/usr/bin/node"
  std::string linker{};                  // of rustc: the C++ compiler; else ""
  std::vector<std::string> read_only{};  // absolute: what it needs of the file system
};

/// Looks along the PATH. Takes the tools' word: one is tried before it is relied on.
Toolchain find_toolchain(Language language);

/// `interpreter` with the tools beside it.
Interpreter with_tools(const Interpreter& interpreter, const Toolchain& tools);

}  // namespace pupil
