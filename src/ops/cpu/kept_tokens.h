// The tokens of a row that top-k, top-p and min-p keep, found without sorting the row.
//
// A bound that no kept token lies below is found first, by vector passes over the row:
// for top-k the k-th largest of the maxima of 4 k groups of tokens, for top-p the
// highest of a few scores above which the weight is surely enough, for min-p the limit
// itself. The few tokens above it are copied, and the exact limit is selected there.

#pragma once

#include <span>
#include <vector>

#include "ops/cpu/score_reaching.h"
#include "ops/cpu/softmax_types.h"
#include "ops/sample.h"

namespace pupil::cpu {

/// Tokens in ascending order of ids. Keeps its memory from row to row: at most 20 bytes
/// for each token of the largest row. One thread.
class KeptTokens {
 public:
  /// Keeps what ops/sample.h says, ties included, and never a score of -inf. `sums` are
  /// those of `row`, all finite. Probabilities are exp(score - max) in float32, summed
  /// in float64: top-p keeps the largest scores whose sum is at least top_p of the
  /// total.
  void keep(const ScoreRow& row, const Truncation& truncation, const RowSums& sums);

  int count() const { return count_; }
  const int* ids() const { return ids_.data(); }
  const float* exps() const { return exps_.data(); }  // exp(score - max)
  double total() const;                               // of the exps

 private:
  void collect(const ScoreRow& row, float least);
  void keep_best(int k);
  double collect_mass(const ScoreRow& row, float p, const RowSums& sums, float likely);
  void keep_mass(double goal);
  void drop_below(float least);
  float rank_bound(const ScoreRow& row, int k);
  std::span<Weighted> weighted();

  int count_ = 0;  // in use; the vectors only grow
  std::vector<int> ids_;
  std::vector<float> scores_, exps_;
  std::vector<Weighted> weighted_;
};

}  // namespace pupil::cpu
