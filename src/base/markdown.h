#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace pupil {

/// `text` as a block of code, in a fence longer than any in it: a student writes fences
/// too.
inline std::string fenced(std::string_view text) {
  size_t longest = 2, run = 0;
  for (char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  std::string fence(longest + 1, '`');
  return fence + "\n" + std::string(text) + "\n" + fence + "\n";
}

}  // namespace pupil
