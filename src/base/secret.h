// Keys that must leave this process by no way but the one that they are meant for.

#pragma once

#include <string>

namespace pupil {

/// The value of an environment variable, or of one that `hide_variable` has taken away;
/// empty if there is neither. Any thread.
std::string variable_or_secret(const std::string& name);

/// Takes a variable out of the environment: its bytes are overwritten, so that
/// /proc/self/environ does not show them either, and no child inherits it. From then on
/// the process leaves no core file, and on Linux no other process of the same user can
/// read its memory. Call it before other threads read the environment. Returns whether
/// the variable was there.
bool hide_variable(const std::string& name);

}  // namespace pupil
