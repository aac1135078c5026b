#include "rollout/row_tails.h"

#include <algorithm>

#include "ops/host_values.h"

namespace pupil {

namespace {

constexpr int kRoomStep = 32;  // tails grow by this many tokens

}  // namespace

RowTails::RowTails(const DecoderConfig& config, mx::Dtype dtype)
    : kv_heads_(config.num_kv_heads),
      width_(config.head_dim),
      dtype_(dtype),
      keys_(config.num_layers, space(0, 0)),
      values_(keys_) {}

mx::array RowTails::space(int rows, int room) const {
  return mx::zeros({rows, kv_heads_, room, width_}, dtype_);
}

void RowTails::add(int rows) {
  lengths_.insert(lengths_.end(), rows, 0);
  for (auto* tails : {&keys_, &values_})
    for (auto& tail : *tails) tail = mx::concatenate({tail, space(rows, room_)}, 0);
}

void RowTails::keep(const std::vector<int>& rows) {
  auto index = int_array(rows);
  for (auto* tails : {&keys_, &values_})
    for (auto& tail : *tails) tail = mx::take(tail, index, 0);
  std::vector<int> lengths;
  for (int row : rows) lengths.push_back(lengths_[row]);
  lengths_ = std::move(lengths);
}

void RowTails::extend() {
  for (int& length : lengths_) ++length;
  if (std::ranges::max(lengths_) <= room_) return;
  auto more = space(static_cast<int>(lengths_.size()), kRoomStep);
  for (auto* tails : {&keys_, &values_})
    for (auto& tail : *tails) tail = mx::concatenate({tail, more}, 2);
  room_ += kRoomStep;
}

void RowTails::append(int layer, const mx::array& k, const mx::array& v) {
  keys_[layer] = appended(keys_[layer], k);
  values_[layer] = appended(values_[layer], v);
}

// x [R, K, E] at each row's last place: in one piece where that is the same for all.
mx::array RowTails::appended(const mx::array& tail, const mx::array& x) const {
  auto token = mx::expand_dims(x, 2);
  int last = lengths_.front() - 1;
  if (std::ranges::all_of(lengths_, [&](int n) { return n == last + 1; })) {
    auto stop = tail.shape();
    stop[2] = last + 1;
    return mx::slice_update(tail, token, {0, 0, last, 0}, stop);
  }
  auto places = mx::reshape(int_array(lengths_) - mx::array(1), {-1, 1, 1, 1});
  return mx::put_along_axis(tail, mx::broadcast_to(places, token.shape()), token, 2);
}

int64_t RowTails::bytes() const {
  auto floats = 2 * keys_.size() * lengths_.size() * kv_heads_ * room_ * width_;
  return static_cast<int64_t>(floats * mx::size_of(dtype_));
}

}  // namespace pupil
