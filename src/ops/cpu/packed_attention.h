// Attention of packed segments on plain memory: tokens of all segments one after the
// other, each with its heads; see ops/attention.h.

#pragma once

#include <memory>
#include <vector>

#include "ops/attention.h"
#include "ops/cpu/attention_types.h"

namespace pupil::cpu {

struct PackedHeads {
  int64_t heads, kv_heads, width;
};

/// q [M, H, E], k and v [M, K, E], contiguous.
struct PackedInputs {
  const float *q, *k, *v;
};

struct PackedGradients {
  const float *out, *lse, *dout;  // [M, H, E], [M, H], [M, H, E]
  float *dq, *dk, *dv;            // [M, H, E], [M, K, E] twice
};

/// The segments' attention over one set of inputs, on all threads.
class PackedAttention {
 public:
  PackedAttention(
      const PackedInputs& inputs,
      const PackedHeads& heads,
      const std::vector<Segment>& segments,
      float scale);

  /// Fills out [M, H, E] and lse [M, H], the log of each query's sum of e^score.
  void forward(float* out, float* lse) const;

  /// Gradients of a prefix add up over its branches in their order, whatever the
  /// number of threads.
  void backward(const PackedGradients& g) const;

 private:
  PackedInputs in_;
  PackedHeads heads_;
  const std::vector<Segment>& segments_;
  float scale_;
  std::vector<int64_t> begins_;

  // What one branch adds to the keys and values of its prefix: [K, 2, P, E].
  using PrefixGradients = std::vector<std::unique_ptr<float[]>>;

  Attention attention(size_t segment, float* out, float* lse) const;
  int64_t prefix_of(size_t segment) const;
  void segment_backward(
      size_t segment,
      int64_t head,
      const PackedGradients& g,
      PrefixGradients& shared) const;
  void add_branches(
      size_t parent,
      int64_t head,
      const PackedGradients& g,
      const PrefixGradients& shared) const;
};

}  // namespace pupil::cpu
