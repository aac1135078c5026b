// What the kernels of a table give, beside plain references in double.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ops/cpu/kernel_table.h"

namespace pupil::kernel_cases {

/// The result of one kernel for one input.
struct Outcome {
  std::string name;              // gemm/f16/5x33x17
  std::vector<float> found;      // what the kernel wrote
  std::vector<double> expected;  // from the definition, in double
  std::vector<double> scale;     // an error is relative to this
  double tolerance = 0;          // of the relative error; 0: every value is exact
  bool same_bits = true;         // on all tables that round alike, of any processor

  /// The largest |found - expected| / scale; infinite where only one is NaN.
  double error() const;

  /// Of the bits of `found`; every NaN counts as one, since processors differ in them.
  uint64_t hash() const;
};

using Outcomes = std::vector<Outcome>;

Outcomes dense_cases(const cpu::KernelTable& table);    // gemm_tile
Outcomes code_cases(const cpu::KernelTable& table);     // code_row, code_tile
Outcomes convert_cases(const cpu::KernelTable& table);  // widen, narrow
Outcomes row_cases(const cpu::KernelTable& table);      // swiglu, rms_norm, their VJPs
Outcomes softmax_cases(const cpu::KernelTable& table);  // of a row, and its largest
Outcomes head_cases(const cpu::KernelTable& table);     // rope_heads, codes of a cache
Outcomes unpack_cases(const cpu::KernelTable& table);   // unpack_row
Outcomes optimizer_cases(const cpu::KernelTable& table);  // adamw, sum_of_squares
Outcomes attention_cases(const cpu::KernelTable& table);  // and its gradient
Outcomes coded_attention_cases(const cpu::KernelTable& table);

/// All of the above.
Outcomes all_cases(const cpu::KernelTable& table);

/// "fused" where the table's multiply-adds round once, "twice" where they do not.
/// Tables of one kind give the same bits where Outcome::same_bits says so.
const char* rounding(const cpu::KernelTable& table);

/// The tables that this machine can run.
std::vector<const cpu::KernelTable*> tables();

}  // namespace pupil::kernel_cases
