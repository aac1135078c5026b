// What a run will take of this machine's memory, said before its first step.

#pragma once

#include <string>

#include "app/assemble.h"
#include "train/memory_plan.h"

namespace pupil {

/// The largest step that `session` can take: every completion as long as it may be,
/// evaluations included.
StepSizes step_sizes(const Session& session);

/// Sets `train.max_tokens_per_microbatch` where it is left to the plan.
void choose_microbatch(Session& session);

/// The plan of `session`'s run, as the process is now; `update_bytes` by the learner.
MemoryPlan memory_plan(const Session& session, int64_t update_bytes);

/// "memory: at most 1.3 GB of 21.0 GB (...)", of MLX's memory limit.
std::string memory_text(const MemoryPlan& plan);

/// What to do about a plan for more than the limit; empty: it is for less.
std::string memory_warning(const MemoryPlan& plan);

}  // namespace pupil
