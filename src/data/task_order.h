// Which tasks a training step draws: a pure function, so that a resumed run goes on
// where the interrupted one stopped, with nothing to save but the step's number.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pupil {

struct TaskOrder {
  uint64_t seed = 0;
  bool shuffle = true;   // false: in the order of the file, epoch after epoch
  size_t num_tasks = 0;  // at least 1
  size_t per_step = 1;   // at least 1; may exceed num_tasks
};

/// The indices of step `step`'s tasks, step 0 the first. The steps lie end to end over
/// the epochs; each epoch holds each task once, in an order of its own. A step across
/// the end of an epoch may draw a task twice.
/// Throws std::invalid_argument if num_tasks or per_step is 0.
std::vector<size_t> tasks_of_step(const TaskOrder& order, uint64_t step);

}  // namespace pupil
