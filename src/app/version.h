#pragma once

#include <string>

namespace pupil {

/// Pupil's version, MLX's and the CPU features in use, one a line.
std::string version_text();

}  // namespace pupil
