// Who writes the completions of a run: the student, or a teacher in its place.

#pragma once

#include <vector>

#include "app/assemble.h"

namespace pupil {

using GenerateFn = decltype(Stages::generate);

/// The chat that asks for a task's answer.
std::vector<Message> chat_of(const Task& task, const Config& config);

/// The student's samples, whatever the config says: what an evaluation measures.
/// `session` must outlive the function.
GenerateFn student_samples(const Session& session);

/// The samples to learn from, by `hardware.use_mlx_for_generation` and
/// `rollout.fallback`. Throws std::invalid_argument if they need a teacher and there is
/// none. `session` must outlive the function.
GenerateFn training_samples(const Session& session);

/// Samples by `student`; where that breaks down (memory, say) by `teacher`, which is
/// said once. Stopped and std::invalid_argument are passed on.
GenerateFn with_fallback(GenerateFn student, GenerateFn teacher);

}  // namespace pupil
