// The limits of this machine, all its cores together: chains of one instruction in
// registers, and a sum over memory.

#pragma once

#include <string>
#include <vector>

#include "work.h"

namespace pupil::bench {

struct Peak {
  std::string name;  // "peak/fma_avx512"
  Limit limit;
  double amount;  // operations or bytes of one run
};

/// Registers a benchmark for each peak that this processor has; the names all begin
/// with "peak/".
void add_peaks();

/// Those that were registered.
const std::vector<Peak>& peaks();

}  // namespace pupil::bench
