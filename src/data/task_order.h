// Which tasks a run draws: a pure function, so that a resumed run goes on where the
// interrupted one stopped, with nothing to save but how many were drawn.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pupil {

struct TaskOrder {
  uint64_t seed = 0;
  bool shuffle = true;   // false: in the order of the file, epoch after epoch
  size_t num_tasks = 0;  // at least 1
};

/// The indices of the tasks `first`, `first` + 1, ... of a run, `count` of them. The
/// epochs lie end to end, and each holds each task once, in an order of its own: across
/// the end of one a task may come twice.
/// Throws std::invalid_argument if num_tasks is 0.
std::vector<size_t> tasks_in_order(
    const TaskOrder& order, uint64_t first, size_t count);

}  // namespace pupil
