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
#include "ops/cpu/row_pages.h"
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

/// What the rows have seen in one layer: their prompts' keys, turned, and values, and
/// their own in pages, which the layer's run of the step before has `written`. Coded
/// prompts are those of ops/cpu/kv_cache.h.
struct BlockCache {
  std::vector<SharedPrefix> prefixes;
  std::shared_ptr<const PageTable> own;
  PageShape shape;
  int layer;
  mx::array written;
};

struct BlockResult {
  mx::array x, written;
};

/// A prompt's keys [1, K, P, E] as a cache holds them.
mx::array turned_keys(const mx::array& keys);

/// x [R, D] float32, the layer's input -> its output, and a mark that the new token's
/// keys and values are in the pages: the next step of this layer waits for it.
BlockResult decode_block(
    const std::shared_ptr<const BlockWeights>& weights,
    const mx::array& x,
    const RopeTable& table,
    const BlockCache& cache,
    float scale);

}  // namespace pupil::cpu
