// How a program of each language is compiled and run inside a box.

#pragma once

#include <string>
#include <vector>

#include "data/language.h"
#include "reward/sandbox.h"

namespace pupil {

struct ProgramCommands {
  std::string file;                  // name of the source in /tmp; empty: not written
  std::vector<std::string> compile;  // empty: nothing to compile
  std::vector<std::string> run;
};

/// Commands for `code`. Where a box has no folder to write in, an interpreter is given
/// the code as an argument.
ProgramCommands commands_for(
    const Sandbox& sandbox, Language language, const std::string& code);

/// Why a box cannot have that language's tools; "" if it can.
std::string missing_tools(const Sandbox& sandbox, Language language);

/// A program that prints the line that it reads.
std::string echo_program(Language language);

/// Of a compiler's words the line that says what is wrong.
std::string first_error(const std::string& words);

}  // namespace pupil
