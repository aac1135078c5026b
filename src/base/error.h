// The errors that `main` turns into exit codes. Text is one line:
// "[where] what happened, expected X, got Y; how to fix it".

#pragma once

#include <stdexcept>
#include <string>

namespace pupil {

/// The command line is wrong (exit code 2). A bad value in a file or the world's
/// trouble is std::invalid_argument or std::runtime_error (exit code 1).
struct UsageError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// The user, a signal or a budget ended the run and its state is saved (exit code 3).
struct Stopped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace pupil
