// Independent jobs on a few threads.

#pragma once

#include <cstddef>
#include <functional>

namespace pupil {

/// Calls `job(0) ... job(count - 1)`, each once, on at most `workers` threads, this one
/// included; returns when all are done. After a job has thrown no new one begins, and
/// the first exception is thrown here.
void parallel_for(
    size_t count, unsigned workers, const std::function<void(size_t)>& job);

}  // namespace pupil
