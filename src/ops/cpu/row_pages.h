// Keys and values of decoding rows in pages: a row takes one when its last is full and
// gives them back when it ends; nothing is moved.

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ops/cpu/attention_types.h"

namespace pupil::cpu {

/// kPageTokens positions of one row in all layers, zeros at first: page_floats a layer,
/// or coded_page_floats.
using Page = std::shared_ptr<float[]>;

struct PageShape {
  int layers, kv_heads, width;
  int group = 0;  // of coded keys and values (ops/kv_codes.h); 0: float32

  int64_t layer_floats() const {
    return group > 0 ? coded_page_floats(kv_heads, width, group)
                     : page_floats(kv_heads, width);
  }
  int64_t bytes() const {
    return layers * layer_floats() * static_cast<int64_t>(sizeof(float));
  }
  Page new_page() const { return Page(new float[layers * layer_floats()]()); }
};

/// What a row has of its own behind a prompt of `prefix` tokens. Pages begin at
/// absolute positions that are multiples of kPageTokens.
class RowPages {
 public:
  explicit RowPages(int prefix) : prefix_(prefix) {}

  /// Makes room for one more token.
  void extend(const PageShape& shape) {
    if (static_cast<size_t>((prefix_ + length_) / kPageTokens) >=
        pages_.size() + first())
      pages_.push_back(shape.new_page());
    ++length_;
  }

  /// Absolute position of the next token to come.
  int position() const { return prefix_ + length_; }
  int length() const { return length_; }
  const std::vector<Page>& pages() const { return pages_; }

 private:
  int prefix_, length_ = 0;
  std::vector<Page> pages_;

  size_t first() const { return static_cast<size_t>(prefix_ / kPageTokens); }
};

/// The pages of a step's rows, the step's own token counted, as the kernels read them.
/// Holds the pages for as long as anybody may still run the step.
class PageTable {
 public:
  explicit PageTable(const std::vector<RowPages>& rows);

  /// Of rows from `row` on.
  const int* lengths(int64_t row) const { return lengths_.data() + row; }
  const float* const* const* pages(int64_t row) const { return rows_.data() + row; }

  /// The page in which the step's token of `row` has its place, and where there.
  float* last_page(int64_t row) const { return last_[row]; }
  int last_place(int64_t row) const { return places_[row]; }

 private:
  std::vector<Page> held_;
  std::vector<const float*> pages_;        // of one row after the other
  std::vector<const float* const*> rows_;  // into pages_
  std::vector<float*> last_;
  std::vector<int> lengths_, places_;
};

}  // namespace pupil::cpu
