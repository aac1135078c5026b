// The Python that runs inside the boxes of whole programs: it writes files, compiles,
// runs, and passes bytes on. Messages as in grader_programs.h:
//   to the runner     F name \n content   K compiler's argv   P program's argv
//                     A standard input   N nothing
//   from it           V compiled, or N   X the compiler's words   T it ran out of time
//     for an A        O "exit code, signal, trouble, length of stderr\n" stderr stdout
//                     trouble: "-", "timeout" or "output"
//   to the commander  F as above   G the command's argv   and replies to its A messages
//   from it           A to be passed on   P exit code 0   F the last words   U no
//   command
// An argv is its words with a NUL between two.

#pragma once

#include <string>

namespace pupil {

struct RunnerLimits {
  double compile_s;  // wall clock and CPU
  double run_cpu_s, run_wall_s;
  size_t output_bytes;  // of one run
  bool owns_processes;  // all processes that it may signal are the box's
};

/// Runs a student's program, once for each A.
std::string runner_program(const RunnerLimits& limits);

/// Runs the user's test command. The student's program is elsewhere: `./solution` and
/// the module `solution` pass on what they are asked.
std::string commander_program(const RunnerLimits& limits);

/// What defines `_ask` for stand_in_module (grader_programs.h) in a commander's box.
std::string ask_through_commander();

}  // namespace pupil
