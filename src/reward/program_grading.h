// Runs one answer's program, of any language, against pairs of input and output, or
// against the user's own test command. Expected outputs and test files stay outside the
// program's box.

#pragma once

#include <string>

#include "data/language.h"
#include "data/types.h"
#include "reward/grading.h"

namespace pupil {

struct ProgramSubmission {
  Language language = Language::python;
  std::string code;
  const Task* task = nullptr;  // its io_tests, or its test_command
  uint64_t order_key = 0;      // decides the order of the runs
};

/// Each pair is a run of its own. Throws nothing for what a program does. May be called
/// from many threads. The language's tools must be there (tools_trouble).
Grade grade_program(const Boxes& boxes, const ProgramSubmission& submission);

/// Why programs of that language cannot be run here; "" if they can: a greeting in it
/// was compiled and run.
std::string tools_trouble(const Boxes& boxes, Language language);

/// Whether two texts are the same for a judge: white space at the end of lines and of
/// the text aside.
bool same_output(std::string_view actual, std::string_view expected);

}  // namespace pupil
