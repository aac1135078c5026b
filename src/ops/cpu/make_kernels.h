// The kernel table of the instruction set whose header was included before.

#pragma once

#include "ops/cpu/activation_kernel.h"
#include "ops/cpu/adamw_kernel.h"
#include "ops/cpu/attention_vjp_kernel.h"
#include "ops/cpu/code_rows_kernel.h"
#include "ops/cpu/convert_kernel.h"
#include "ops/cpu/few_code_rows_kernel.h"
#include "ops/cpu/kernel_table.h"
#include "ops/cpu/kv_code_kernel.h"
#include "ops/cpu/rope_kernel.h"
#include "ops/cpu/row_softmax_kernel.h"
#include "ops/cpu/select_kernel.h"
#include "ops/cpu/unpack_kernel.h"
#include "ops/cpu/weigh_kernel.h"

namespace pupil::cpu {
namespace {

template <class V>
const KernelTable* make_kernels() {
  static constexpr KernelTable kTable = {
      .name = V::kName,
      .lanes = V::kLanes,
      .narrow_columns = V::kNarrowVecs * V::kLanes,
      .wide_columns = V::kWideVecs * V::kLanes,
      .wide_rows = V::kWideRows,
      .gemm_tile = gemm_tile<V>,
      .code_columns = V::kCodeVecs * V::kLanes,
      .byte_dot_bits = V::kByteDotBits,
      .code_row = code_row<V>,
      .code_tile = code_tile<V>,
      .widen = widen<V>,
      .narrow = narrow<V>,
      .unpack_row = unpack_row<V>,
      .swiglu = swiglu_rows<V>,
      .swiglu_vjp = swiglu_vjp_rows<V>,
      .rms_norm = rms_norm_rows<V>,
      .rms_norm_vjp = rms_norm_vjp_rows<V>,
      .rope_heads = rope_heads<V>,
      .round_kv_group = round_kv_group,
      .code_kv_group = code_kv_group,
      .row_sums = row_sums<V>,
      .row_exp_sum = row_exp_sum<V>,
      .negative_softmax = negative_softmax<V>,
      .exp_terms = exp_terms<V>,
      .weigh = weigh<V>,
      .group_maxima = group_maxima<V>,
      .collect_tokens = collect_tokens,
      .adamw = adamw<V>,
      .sum_of_squares = sum_of_squares<V>,
      .attention = attention_tile<V>,
      .attention_gradient = attention_gradient_tile<V>,
  };
  return &kTable;
}

}  // namespace
}  // namespace pupil::cpu
