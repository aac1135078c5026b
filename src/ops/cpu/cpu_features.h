// Which kernels this machine runs.

#pragma once

#include <string>
#include <vector>

#include "ops/cpu/kernel_table.h"

namespace pupil::cpu {

/// The kernels in use: the best that the processor and the system support, or those
/// that the environment variable PUPIL_CPU_ISA names: generic; avx2, avx512,
/// avx512vnni; neon, neondot, neoni8mm. Throws std::invalid_argument at the first use
/// if that name is not available here.
const KernelTable& kernels();

/// Names for PUPIL_CPU_ISA that work on this machine, the best last.
std::vector<std::string> available_isas();

/// Uses the named kernels from now on; not while a computation runs. Throws
/// std::invalid_argument for a name that is not available.
void use_isa(const std::string& name);

}  // namespace pupil::cpu
