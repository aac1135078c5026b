#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

namespace pupil {

struct ShellResult {
  int exit_code = -1;  // -1: ended by a signal
  std::string output;  // stdout; add 2>&1 to the command for both
};

/// Runs a command line by /bin/sh.
inline ShellResult run_shell(const std::string& command) {
  ShellResult result;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return result;
  char buffer[4096];
  while (size_t count = std::fread(buffer, 1, sizeof buffer, pipe)) {
    result.output.append(buffer, count);
  }
  const int status = ::pclose(pipe);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  return result;
}

/// Runs the executable in an empty environment, stderr after stdout.
inline ShellResult run_pupil(const std::string& arguments) {
  return run_shell(
      "env -i PATH=/usr/bin:/bin '" PUPIL_EXECUTABLE "' " + arguments + " 2>&1");
}

struct ProgramResult {
  int exit_code = -1;  // -1: ended by a signal
  std::string output, errors;
};

/// Runs the executable in `folder`, in an empty environment. `arguments` may end in
/// redirections and a pipe.
inline ProgramResult run_in(const std::string& folder, const std::string& arguments) {
  const std::string errors = folder + "/.stderr";
  const auto shell = run_shell(
      "cd '" + folder + "' && { env -i PATH=/usr/bin:/bin '" PUPIL_EXECUTABLE "' " +
      arguments + "\n} 2>'" + errors + "'");
  std::ostringstream text;
  text << std::ifstream(errors, std::ios::binary).rdbuf();
  std::remove(errors.c_str());
  return {shell.exit_code, shell.output, text.str()};
}

}  // namespace pupil
