// What a run depends on, as checksums and names, for its checkpoints.

#pragma once

#include "config/config.h"
#include "train/run_origin.h"

namespace pupil {

/// Reads every file of the model's directory once. `config` is resolved; where the run
/// is written and how long it is to be do not count.
RunOrigin run_origin(const Config& config);

}  // namespace pupil
