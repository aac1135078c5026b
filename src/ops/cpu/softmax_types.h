// A row of logits and what its softmax is made of, on plain memory.

#pragma once

namespace pupil::cpu {

/// Scores x = logits / temperature.
struct ScoreRow {
  const float* logits;
  int size;
  float inverse_temperature;

  /// x[i] - max, rounded once: what the kernels take the exponential of. Far from 0 the
  /// product alone is rounded by more than a nat.
  float gap(int i, float max) const {
    return __builtin_fmaf(logits[i], inverse_temperature, -max);
  }
};

constexpr float kLowestGap = -87.0f;  // exp of it is still a normal float32

struct RowSums {
  float max;       // of x
  float log_sum;   // log sum exp(x - max)
  float mean_gap;  // sum p (x - max), at most 0
};

}  // namespace pupil::cpu
