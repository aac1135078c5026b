// Tasks files: what the student is asked and how its answers are tested.

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/types.h"

namespace pupil {

/// Reads the tasks of a JSON Lines file (docs/tasks.md), at most `limit` of them. Lines
/// may be in our own form, MBPP's or HumanEval's (data/task_formats.h), mixed at will;
/// a task without an id is called "<file name without extension>/<line number>". Throws
/// std::invalid_argument "[path:line] what is wrong, what was expected" for the first
/// bad line, an id that occurs twice, and a file without a task.
std::vector<Task> load_tasks(const std::string& path, std::optional<int> limit);

}  // namespace pupil
