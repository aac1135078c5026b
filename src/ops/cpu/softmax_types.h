// A row of logits and what its softmax is made of, on plain memory.

#pragma once

namespace pupil::cpu {

/// Scores x = logits / temperature.
struct ScoreRow {
  const float* logits;
  int size;
  float inverse_temperature;

  float at(int i) const { return logits[i] * inverse_temperature; }
};

struct RowSums {
  float max;       // of x
  float log_sum;   // log sum exp(x - max)
  float mean_gap;  // sum p (x - max), at most 0
};

}  // namespace pupil::cpu
