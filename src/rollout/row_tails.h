// The own keys and values of decoding rows in one array a layer, for devices whose
// attention does not read pages.

#pragma once

#include <vector>

#include "models/decoder.h"
#include "ops/attention.h"

namespace pupil {

class RowTails {
 public:
  RowTails(const DecoderConfig& config, mx::Dtype dtype);

  /// `rows` more, without tokens.
  void add(int rows);

  /// Keeps only these rows (ascending), in place of all.
  void keep(const std::vector<int>& rows);

  /// Makes room for one more token of each row; `append` fills it, layer by layer.
  void extend();

  /// k and v [R, K, E] of the new token.
  void append(int layer, const mx::array& k, const mx::array& v);

  /// [R, K, room, E], of which row r's first `lengths()[r]` are its tokens.
  const mx::array& keys(int layer) const { return keys_[layer]; }
  const mx::array& values(int layer) const { return values_[layer]; }
  const std::vector<int>& lengths() const { return lengths_; }

  int64_t bytes() const;

 private:
  int kv_heads_, width_;
  mx::Dtype dtype_;
  std::vector<mx::array> keys_, values_;  // [layers]; shape [0, K, room, E] at first
  std::vector<int> lengths_;
  int room_ = 0;

  mx::array space(int rows, int room) const;
  mx::array appended(const mx::array& tail, const mx::array& x) const;
};

}  // namespace pupil
