// The processors that are ours.

#pragma once

namespace pupil {

/// Cores that this process may run on (its affinity mask, where the system has one), at
/// least 1.
int num_cores();

}  // namespace pupil
