// Keys, values or queries of an operation as the attention kernels read them.

#pragma once

#include <optional>

#include "ops/cpu/arrays.h"
#include "ops/cpu/attention_types.h"

namespace pupil::cpu {

/// A strided view of an array [B, heads, tokens, E], or of a float32 copy of it.
class HeadInput {
 public:
  explicit HeadInput(const mx::array& x) {
    if (x.dtype() == mx::float32 && (x.strides(3) == 1 || x.shape(3) == 1)) {
      view_ = {x.data<float>(), x.strides(0), x.strides(1), x.strides(2)};
      return;
    }
    copy_.emplace(x);
    int64_t token = x.shape(3), head = token * x.shape(2);
    view_ = {copy_->data(), head * x.shape(1), head, token};
  }

  /// From `row` on.
  HeadView view(int64_t row = 0) const {
    auto view = view_;
    view.data += row * view.batch;
    return view;
  }

 private:
  std::optional<FloatInput> copy_;
  HeadView view_{};
};

}  // namespace pupil::cpu
