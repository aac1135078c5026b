// What a boundary is to the sandbox: a way to turn "run this Python" into a confined
// command. One source file a boundary; those of other systems say that they are
// missing.

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/process.h"
#include "reward/interpreter.h"
#include "reward/sandbox.h"

namespace pupil {

/// The unprivileged user that a box runs as when we are root; 0: as ourselves.
using BoxUser = unsigned;

/// Turns the interpreter's arguments into a command inside the boundary: fills in argv,
/// environment, files and hook of `options`, whose limits are already set.
using Confine = std::function<void(
    ProcessOptions& options, const std::vector<std::string>& arguments, BoxUser user)>;

struct BoundaryPlan {
  Boundary boundary = Boundary::none;
  std::string missing{};  // not empty: cannot be set up here, and why
  Confine confine{};
  bool drops_user = false;  // the program inside must itself become its BoxUser
};

BoundaryPlan plan_bubblewrap(const Interpreter& interpreter);
BoundaryPlan plan_landlock(const Interpreter& interpreter);
BoundaryPlan plan_seatbelt(const Interpreter& interpreter);
BoundaryPlan plan_nothing(const Interpreter& interpreter);

/// The environment of every box: fixed, so that runs repeat.
std::vector<std::string> box_environment();

/// A seccomp program (an array of struct sock_filter, as bytes) that allows what Python
/// and the tools of `language` need and nothing else: no sockets, namespaces, mounts,
/// tracing, keyrings, io_uring, locks that reach other boxes, and no other ABI.
/// `alone`: no namespaces around it, so signals to others and new sessions are denied
/// too. Empty where there is no seccomp.
std::string seccomp_program(bool alone, Language language);

/// Tries to break out of a box of `sandbox` from inside, in more than ten ways. Empty
/// if all of it failed as it must, else what went wrong.
std::string probe(const Sandbox& sandbox);

}  // namespace pupil
