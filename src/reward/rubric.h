// The reward `rubric`: how an answer's code looks, from its syntax tree alone. It
// judges by the criteria and weights that the teacher judges by, without running
// anything.

#pragma once

#include "data/types.h"
#include "text/python_source.h"

namespace pupil {

/// Each in [0, 1].
struct RubricScores {
  double correctness = 0;
  double quality = 0;
  double efficiency = 0;
  double documentation = 0;

  /// 0.3 correctness + 0.3 quality + 0.2 efficiency + 0.2 documentation.
  double total() const;
};

/// With f as in PythonFacts, and fall(x, a, b) = 1 up to a, 0 from b, linear between:
///   correctness    0.5 [it parses and has a statement]
///                  + 0.5 [it defines the entry point]
///   quality        0.4 (1 - (short / 2 + 2 odd names) / names, at least 0)
///                  + 0.3 fall(nesting, 3, 6) + 0.3 fall(complexity, 10, 20),
///                  less 0.2 if there is a bare except, at least 0
///   efficiency     0.7 fall(loop nesting, 2, 4) + 0.3 fall(code lines, 40, 120)
///   documentation  0.8 documented / functions + 0.2 [a comment, or a docstring]
/// One-letter names are common in short mathematical code, so they count for half; code
/// without names has none that is bad.
/// Degenerate code (it does not parse, has no function, or no statement that does
/// anything) is 0 in all four.
RubricScores rubric_scores(const PythonFacts& facts, bool defines_entry_point);

/// Scores the code of each answer; an answer without code is 0, one in another language
/// than Python unscored.
RewardFn rubric_reward();

}  // namespace pupil
