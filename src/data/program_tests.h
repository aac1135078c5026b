// Tests of whole programs in a tasks file: pairs of input and output, or a test file of
// the user's own with the command that runs it (docs/tasks.md).

#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "data/types.h"

namespace pupil {

/// Whether a task's `tests` are pairs, or it has a `test_command`.
bool has_program_tests(const nlohmann::json& line);

/// Fills in `io_tests`, `test_files`, `test_command` and `language`. Throws
/// std::invalid_argument that begins with `where`.
void read_program_tests(
    const nlohmann::json& line, const std::string& where, Task& task);

}  // namespace pupil
