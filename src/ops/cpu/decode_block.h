// One decoder layer over one new token of each row, as a single operation: a decode
// step is hundreds of small ones, and handing them over costs as much as the smallest
// do.
//
// The same kernels in the same order as the layer's own operations: the same bits.

#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "ops/attention.h"
#include "ops/cpu/arrays.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/weight_matrix.h"
#include "ops/linear.h"
#include "ops/rope.h"

namespace pupil::cpu {

/// A linear of the layer, as the kernels read it.
class BlockLinear {
 public:
  /// `weight`: one array if dense; packed, scales and biases if not. Evaluated and in
  /// row order; `bias` and `low_rank` float32, whose A may be columns of a wider
  /// matrix.
  BlockLinear(
      std::vector<mx::array> weight,
      const WeightFormat& format,
      const std::optional<mx::array>& bias,
      const std::optional<LowRank>& low_rank,
      int in,
      int out);

  /// x [rows, in] -> y [rows, out], but for the bias.
  Product product(const float* x, int64_t rows, float* y) const;

  void add_bias(int64_t rows, float* y) const;

  int out() const { return out_; }

 private:
  std::vector<mx::array> held_;  // keeps the memory that the rest points to
  MatrixB matrix_;
  LowRankTerm term_{};
  const float* bias_ = nullptr;
  int in_, out_;
};

struct BlockWeights {
  mx::array input_norm, post_norm;  // [D] float32
  float norm_eps;
  BlockLinear q, k, v, o, gate, up, down;
  int heads, kv_heads, width;  // of a head
};

/// What a row has seen: its prompt's keys and values and its own. Values [R, K, room,
/// E]; keys turned, so that a step reads them as they lie: [R, K, E, room + kKeyBlock].
struct BlockCache {
  std::vector<SharedPrefix> prefixes;
  mx::array tail_k, tail_v;
  int length;  // tokens in the tails before this one
};

struct BlockResult {
  mx::array x, tail_k, tail_v;
};

/// A prompt's keys [1, K, P, E] as a cache holds them.
mx::array turned_keys(const mx::array& keys);

/// x [R, D] float32, the layer's input -> its output, and the tails with the new
/// token's keys and values. They are written in place, `length` tokens into the old
/// tails' memory: each must have memory of its own, and that place no other reader.
BlockResult decode_block(
    const std::shared_ptr<const BlockWeights>& weights,
    const mx::array& x,
    const RopeTable& table,
    const BlockCache& cache,
    float scale);

}  // namespace pupil::cpu
