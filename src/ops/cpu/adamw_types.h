// One step of AdamW on plain memory.

#pragma once

namespace pupil::cpu {

/// The numbers of a step t with betas b1 and b2, as float32:
///   g = grad grad_scale;  m += (g - m) blend1;  v = v beta2 + g g blend2
///   p = p decay - m / (sqrt(v) root_scale + eps) rate
struct AdamWStep {
  float grad_scale;
  float blend1;         // 1 - b1
  float beta2, blend2;  // b2, 1 - b2
  float root_scale;     // 1 / sqrt(1 - b2^t)
  float eps;
  float decay;  // 1 - learning rate * weight decay
  float rate;   // learning rate / (1 - b1^t)
};

/// Elements of one parameter. An output may be any of the inputs.
struct AdamWMemory {
  const float *grad, *param, *first, *second;
  float *new_param, *new_first, *new_second;
};

}  // namespace pupil::cpu
