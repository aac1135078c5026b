#include "rollout/decode_state.h"

#include <algorithm>
#include <utility>

#include "base/allocator.h"

namespace pupil {

namespace {

constexpr int kTailStep = 32;  // tails grow by this many tokens

mx::array int_array(const std::vector<int>& values) {
  return mx::array(values.data(), {static_cast<int>(values.size())}, mx::int32);
}

int longest(const std::vector<std::vector<int>>& prompts) {
  size_t most = 0;
  for (const auto& prompt : prompts) most = std::max(most, prompt.size());
  return static_cast<int>(most);
}

}  // namespace

DecodeState::DecodeState(
    const Decoder& model,
    const std::vector<std::vector<int>>& prompts,
    int n,
    int capacity,
    bool fused)
    : model_(model),
      blocks_(
          fused ? decode_blocks(model, longest(prompts) + capacity) : DecodeBlocks()),
      capacity_(capacity),
      logits_(0.0f) {
  std::vector<PrefixCache> caches;
  auto hidden = prefill(model, prompts, caches);
  logits_ = mx::repeat(model.head(hidden), n, 0);
  for (size_t layer = 0; layer < model.model.layers.size(); ++layer) {
    auto& prefixes = prefixes_.emplace_back();
    for (auto& cache : caches) {
      auto keys = cache.k[layer];
      if (!blocks_.empty()) keys = cpu::turned_keys(keys);
      prefixes.push_back({keys, cache.v[layer], n});
    }
  }
  for (const auto& prompt : prompts) {
    positions_.insert(positions_.end(), n, static_cast<int>(prompt.size()));
  }
}

void DecodeState::grow() {
  if (room_ > 0) return_freed_memory();  // the tails before the last growth
  const auto& config = model_.config;
  bool turned = !blocks_.empty();
  int more = std::min(kTailStep, capacity_ - room_), E = config.head_dim;
  auto space = [&](bool turn, int count) {  // memory of its own: a step writes into it
    mx::Shape shape = {num_rows(), config.num_kv_heads, count, E};
    if (turn) std::swap(shape[2], shape[3]);
    return mx::zeros(shape, model_.dtype);
  };
  for (size_t layer = 0; layer < prefixes_.size(); ++layer) {
    if (room_ == 0) {
      tail_k_.push_back(
          space(turned, more + (turned ? static_cast<int>(cpu::kKeyBlock) : 0)));
      tail_v_.push_back(space(false, more));
    } else {
      tail_k_[layer] =
          mx::concatenate({tail_k_[layer], space(turned, more)}, turned ? 3 : 2);
      tail_v_[layer] = mx::concatenate({tail_v_[layer], space(false, more)}, 2);
    }
  }
  room_ += more;
}

mx::array DecodeState::attend(
    int layer, const mx::array& q, const mx::array& k, const mx::array& v) {
  auto append = [&](mx::array& tail, const mx::array& x) {  // x [R, K, E]
    auto start = mx::Shape{0, 0, length_, 0};
    auto stop = tail.shape();
    stop[2] = length_ + 1;
    tail = mx::slice_update(tail, mx::expand_dims(x, 2), start, stop);
  };
  append(tail_k_[layer], k);
  append(tail_v_[layer], v);
  auto out = decode_attention(
      mx::expand_dims(q, 2),
      prefixes_[layer],
      tail_k_[layer],
      tail_v_[layer],
      length_ + 1,
      attention_rule(model_.config, layer));
  return mx::squeeze(out, 2);
}

mx::array DecodeState::run_layers(const mx::array& tokens) {
  return model_(
      tokens,
      int_array(positions_),
      [this](int layer, const mx::array& q, const mx::array& k, const mx::array& v) {
        return attend(layer, q, k, v);
      });
}

mx::array DecodeState::run_blocks(const mx::array& tokens) {
  auto table = model_.turns(int_array(positions_), LayerRope::global);
  auto x = model_.embed(tokens);  // [R, D]
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    cpu::BlockCache cache{prefixes_[layer], tail_k_[layer], tail_v_[layer], length_};
    auto rule = attention_rule(model_.config, static_cast<int>(layer));
    auto result = cpu::decode_block(blocks_[layer], x, table, cache, rule.scale);
    x = result.x;
    tail_k_[layer] = result.tail_k;
    tail_v_[layer] = result.tail_v;
  }
  return model_.model.norm(x);
}

void DecodeState::feed(const mx::array& tokens) {
  if (length_ == room_) grow();
  auto hidden = blocks_.empty() ? run_layers(tokens) : run_blocks(tokens);
  logits_ = model_.head(hidden);
  ++length_;
  for (auto& position : positions_) ++position;
}

void DecodeState::keep(const std::vector<int>& rows) {
  auto index = int_array(rows);
  logits_ = mx::take(logits_, index, 0);
  for (auto* tails : {&tail_k_, &tail_v_}) {
    for (auto& tail : *tails) tail = mx::take(tail, index, 0);
  }
  for (auto& prefixes : prefixes_) {
    std::vector<SharedPrefix> kept;
    int begin = 0;
    for (const auto& prefix : prefixes) {
      int end = begin + prefix.num_rows;
      auto count = std::count_if(
          rows.begin(), rows.end(), [&](int r) { return r >= begin && r < end; });
      if (count > 0) kept.push_back({prefix.k, prefix.v, static_cast<int>(count)});
      begin = end;
    }
    prefixes = std::move(kept);
  }
  std::vector<int> positions;
  for (int row : rows) positions.push_back(positions_[row]);
  positions_ = std::move(positions);
}

}  // namespace pupil
