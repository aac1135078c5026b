#include "rollout/decode_state.h"

#include <algorithm>

#include "ops/cpu/kv_cache.h"
#include "ops/host_values.h"
#include "ops/kv_codes.h"

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

int64_t bytes_of(const SharedPrefix& prefix) {
  return static_cast<int64_t>(prefix.k.nbytes() + prefix.v.nbytes());
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
          model.config.num_layers,
          model.config.num_kv_heads,
          model.config.head_dim,
          model.kv_bits == 8 ? kv_group(model.config.head_dim) : 0},
      written_(model.model.layers.size(), mx::zeros({1})),
      tails_(model.config, model.dtype) {}

// In memory of their own: the prompts that ran beside may leave first.
HeldPrompt DecodeState::hold(const PrefixCache& cache) const {
  HeldPrompt held{{}, cache.length()};
  bool coded = page_shape_.group > 0;
  for (const auto& k : cache.k)
    held.cache.k.push_back(
        blocks_.empty() ? mx::contiguous(k)
        : coded         ? cpu::coded_keys(k)
                        : cpu::turned_keys(k));
  for (const auto& v : cache.v)
    held.cache.v.push_back(
        blocks_.empty() || !coded ? mx::contiguous(v) : cpu::coded_values(v));
  auto all = held.cache.k;
  all.insert(all.end(), held.cache.v.begin(), held.cache.v.end());
  mx::async_eval(all);
  return held;
}

void DecodeState::add(const HeldPrompt& prompt, int n) {
  for (size_t layer = 0; layer < prefixes_.size(); ++layer) {
    auto& prefixes = prefixes_[layer];
    const auto &k = prompt.cache.k[layer], &v = prompt.cache.v[layer];
    if (!prefixes.empty() && prefixes.back().k.id() == k.id())
      prefixes.back().num_rows += n;  // more rows of the last prompt
    else
      prefixes.push_back({k, v, n});
  }
  positions_.insert(positions_.end(), n, prompt.length);
  pages_.insert(pages_.end(), n, cpu::RowPages(prompt.length));
  if (blocks_.empty()) tails_.add(n);
}

mx::array DecodeState::add(const std::vector<std::vector<int>>& prompts, int n) {
  std::vector<PrefixCache> caches(prompts.size());
  std::vector<NextTokens> next;
  for (size_t i = 0; i < prompts.size(); ++i) next.push_back({prompts[i], &caches[i]});
  auto hidden = prefill(model_, next);
  for (const auto& cache : caches) add(hold(cache), n);
  return mx::repeat(model_.head(hidden), n, 0);
}

mx::array DecodeState::run_layers(const mx::array& tokens) {
  tails_.extend();
  return model_(
      tokens,
      int_array(positions_),
      [this](int layer, const mx::array& q, const mx::array& k, const mx::array& v) {
        tails_.append(
            layer, kv_rounded(k, model_.kv_bits), kv_rounded(v, model_.kv_bits));
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
    cpu::BlockCache cache{
        prefixes_[i], own, page_shape_, static_cast<int>(i), written_[i]};
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

int64_t DecodeState::own_bytes() const {
  int64_t bytes = blocks_.empty() ? tails_.bytes() : 0;
  for (const auto& row : pages_) bytes += std::ssize(row.pages()) * page_shape_.bytes();
  return bytes;
}

int64_t DecodeState::cache_bytes() const {
  int64_t bytes = own_bytes();
  for (const auto& prefixes : prefixes_)
    for (const auto& prefix : prefixes) bytes += bytes_of(prefix);
  return bytes;
}

int64_t DecodeState::copied_bytes() const {
  int64_t bytes = own_bytes();
  for (const auto& prefixes : prefixes_)
    for (const auto& prefix : prefixes) bytes += prefix.num_rows * bytes_of(prefix);
  return bytes;
}

}  // namespace pupil
