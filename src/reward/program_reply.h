// What a reward program writes to its stdout: hostile until read here.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/types.h"

namespace pupil {

/// Scores of a larger size are refused: sums of them must stay finite and mean
/// something.
inline constexpr double kLargestScore = 1e9;

/// One line of a program's stdout.
struct ProgramLine {
  enum class Kind {
    reply,   // to the request
    noise,   // none at all, or one to another request: to be passed over
    broken,  // meant as the reply, but not one
  };
  Kind kind = Kind::noise;
  std::vector<Score> scores;  // of a reply
  std::string trouble;        // of a broken one: what is wrong with it
};

/// Reads a line as the reply {"id": id, "scores": [number or null, ...]} to a request
/// with `num_items` items. Other keys are ignored. A null is unscored, and so is an
/// element that is not a finite number of at most kLargestScore in size; `reason` says
/// which. Never throws for what stands in `line`.
ProgramLine read_program_line(std::string_view line, int64_t id, size_t num_items);

}  // namespace pupil
