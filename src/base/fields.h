// What a config field may be told about itself beside its help text, as in
//   f("top_p", self.top_p, "keep the smallest set of tokens ...", Range{0, 1});

#pragma once

#include <limits>
#include <string_view>

namespace pupil {

/// Inclusive bounds of a number.
struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  std::string_view zero = {};  // of an integer: a word that may stand for 0
};

inline constexpr Range kPositive{std::numeric_limits<double>::min()};
inline constexpr Range kNotNegative{0};
inline constexpr Range kAtLeastOne{1};
inline constexpr Range kUnit{0, 1};
inline constexpr Range kBelowOne{0, 0.999999};

/// The values a string may have, separated by '|'.
struct Choices {
  std::string_view values;
};

}  // namespace pupil
