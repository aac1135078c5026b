#include "rollout/decode_state.h"

#include <algorithm>

#include "ops/host_values.h"

namespace pupil {

namespace {

// The prompts of which some of `rows` are left, each with how many.
std::vector<SharedPrefix> kept_prefixes(
    const std::vector<SharedPrefix>& prefixes, const std::vector<int>& rows) {
  std::vector<SharedPrefix> kept;
  int begin = 0;
  for (const auto& prefix : prefixes) {
    int end = begin + prefix.num_rows;
    auto count =
        std::ranges::count_if(rows, [&](int row) { return row >= begin && row < end; });
    if (count > 0) kept.push_back({prefix.k, prefix.v, static_cast<int>(count)});
    begin = end;
  }
  return kept;
}

template <class T>
void keep_only(std::vector<T>& all, const std::vector<int>& rows) {
  std::vector<T> kept;
  for (int row : rows) kept.push_back(std::move(all[row]));
  all = std::move(kept);
}

}  // namespace

DecodeState::DecodeState(const Decoder& model, int most_tokens, bool fused)
    : model_(model),
      blocks_(fused ? decode_blocks(model, most_tokens) : DecodeBlocks()),
      prefixes_(model.model.layers.size()),
      page_shape_{
          model.config.num_layers, model.config.num_kv_heads, model.config.head_dim},
      written_(model.model.layers.size(), mx::zeros({1})),
      tails_(model.config, model.dtype) {}

mx::array DecodeState::add(const std::vector<std::vector<int>>& prompts, int n) {
  std::vector<PrefixCache> caches;
  auto hidden = prefill(model_, prompts, caches);
  for (size_t layer = 0; layer < prefixes_.size(); ++layer) {
    for (auto& cache : caches) {  // in memory of their own: the others may leave first
      auto keys = blocks_.empty() ? mx::contiguous(cache.k[layer])
                                  : cpu::turned_keys(cache.k[layer]);
      prefixes_[layer].push_back({keys, mx::contiguous(cache.v[layer]), n});
    }
  }
  for (const auto& prompt : prompts) {
    auto length = static_cast<int>(prompt.size());
    positions_.insert(positions_.end(), n, length);
    pages_.insert(pages_.end(), n, cpu::RowPages(length));
  }
  if (blocks_.empty()) tails_.add(n * static_cast<int>(prompts.size()));
  return mx::repeat(model_.head(hidden), n, 0);
}

mx::array DecodeState::run_layers(const mx::array& tokens) {
  tails_.extend();
  return model_(
      tokens,
      int_array(positions_),
      [this](int layer, const mx::array& q, const mx::array& k, const mx::array& v) {
        tails_.append(layer, k, v);
        auto out = decode_attention(
            mx::expand_dims(q, 2),
            prefixes_[layer],
            tails_.keys(layer),
            tails_.values(layer),
            tails_.lengths(),
            attention_rule(model_.config, layer));
        return mx::squeeze(out, 2);
      });
}

mx::array DecodeState::run_blocks(const mx::array& tokens) {
  for (auto& row : pages_) row.extend(page_shape_);
  auto own = std::make_shared<const cpu::PageTable>(pages_);
  auto table = model_.turns(int_array(positions_), LayerRope::global);
  auto x = model_.embed(tokens);  // [R, D]
  for (size_t i = 0; i < blocks_.size(); ++i) {
    cpu::BlockCache cache{prefixes_[i], own, static_cast<int>(i), written_[i]};
    auto rule = attention_rule(model_.config, static_cast<int>(i));
    auto result = cpu::decode_block(blocks_[i], x, table, cache, rule.scale);
    x = result.x;
    written_[i] = result.written;
  }
  return model_.model.norm(x);
}

mx::array DecodeState::feed(const mx::array& tokens) {
  auto hidden = blocks_.empty() ? run_layers(tokens) : run_blocks(tokens);
  for (int& position : positions_) ++position;
  return model_.head(hidden);
}

void DecodeState::keep(const std::vector<int>& rows) {
  for (auto& prefixes : prefixes_) prefixes = kept_prefixes(prefixes, rows);
  keep_only(positions_, rows);
  keep_only(pages_, rows);
  if (blocks_.empty()) tails_.keep(rows);
}

int64_t DecodeState::cache_bytes() const {
  int64_t bytes = blocks_.empty() ? tails_.bytes() : 0;
  for (const auto& row : pages_) bytes += std::ssize(row.pages()) * page_shape_.bytes();
  for (const auto& prefixes : prefixes_)
    for (const auto& prefix : prefixes)
      bytes += static_cast<int64_t>(prefix.k.nbytes() + prefix.v.nbytes());
  return bytes;
}

}  // namespace pupil
