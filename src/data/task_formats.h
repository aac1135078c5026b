// The shapes that a line of a tasks file may have (docs/tasks.md):
//
//   ours       prompt, and optionally id, entry_point, tests, language, setup, solution
//   MBPP       text (or prompt), test_list, test_setup_code or test_imports, code,
//   task_id HumanEval  prompt, test, entry_point, canonical_solution, task_id

#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/types.h"

namespace pupil {

/// One line as a task; an id that the line does not give stays empty. Where the line
/// does not name the entry point, it is the function that all tests call.
/// Other keys are ignored, except one that looks like a misspelt key of ours.
/// Throws std::invalid_argument that begins with `where`, "[path:line] ".
Task task_from_json(const nlohmann::json& line, const std::string& where);

/// The classes of which the tests or their setup make objects and that the task's own
/// solution defines: an answer has to define them, too.
std::vector<std::string> classes_of_answer(const Task& task);

}  // namespace pupil
