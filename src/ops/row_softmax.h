// The arithmetic of token_stats on one row of float32 logits.

#pragma once

namespace pupil {

struct RowSums {
  float max;       // of x = logits / temperature
  float log_sum;   // log sum exp(x - max)
  float mean_gap;  // sum p (x - max), at most 0
};

/// One pass for the maximum, one for the sums. The sum runs in 16 lanes, each in order
/// of the index, whatever the instruction set.
RowSums row_sums(const float* logits, int size, float inverse_temperature);

/// sum exp(x - max) of x = logits / temperature; 0 for x that is -inf. In 16 lanes.
float row_exp_sum(const float* logits, int size, float inverse_temperature, float max);

/// gradient[i] = -p[i] * inverse_temperature; may be `logits` itself.
void row_negative_softmax(
    const float* logits,
    int size,
    float inverse_temperature,
    const RowSums& sums,
    float* gradient);

}  // namespace pupil
