// Which order of codes a product in whole numbers reads.

#pragma once

#include "ops/cpu/kernel_table.h"

namespace pupil::cpu {

/// That of `m` rows of A that `table` multiplies by the quantised `b`.
inline CodeOrder code_order(const KernelTable& table, const MatrixB& b, int64_t m) {
  bool four = b.format == Format::q4;
  if (!b.transposed) return CodeOrder::natural;
  if (m <= kFewByteRows && (four ? 4 : 8) <= table.byte_dot_bits)
    return four ? CodeOrder::bytes4 : CodeOrder::bytes8;
  return four ? CodeOrder::pairs4 : CodeOrder::pairs8;
}

}  // namespace pupil::cpu
