// Matrix products on all threads.

#pragma once

#include "ops/cpu/kernel_table.h"

namespace pupil::cpu {

/// Computes gemm.c. Every output has the same bits for any number of rows and threads.
/// C may not overlap A or B.
void multiply(const Gemm& gemm);

}  // namespace pupil::cpu
