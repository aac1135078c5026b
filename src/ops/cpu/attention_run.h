// Attention over several sequences on all threads, on plain memory.

#pragma once

#include <span>

#include "ops/cpu/attention_types.h"

namespace pupil::cpu {

/// Rows that differ by their batch strides.
struct AttentionJob {
  Attention attention;
  int64_t batches;
};

void run_attention(std::span<const AttentionJob> jobs);

/// The gradient of one key head of one sequence.
struct AttentionGradientJob {
  Attention attention;  // of one row
  AttentionGradient gradient;
  int64_t kv_head;
};

/// On this thread.
void run_gradient(const AttentionGradientJob& job);

}  // namespace pupil::cpu
