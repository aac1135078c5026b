#include "ops/masked_attention.h"

#include <algorithm>
#include <limits>

namespace pupil {
namespace {

// [T, S], or [B, 1, 1, 1, S]: whether the query, at S - T and on or at its row's last
// key, sees the key.
mx::array visible(int queries, int keys, int window, const std::vector<int>& counts) {
  auto query = mx::expand_dims(mx::arange(keys - queries, keys), 1);
  if (!counts.empty()) {
    mx::Shape rows = {static_cast<int>(counts.size()), 1, 1, 1, 1};
    query = mx::array(counts.data(), rows, mx::int32) - mx::array(1);
  }
  auto key = mx::arange(keys);
  auto seen = mx::less_equal(key, query);
  if (window == 0) return seen;
  return mx::logical_and(seen, mx::greater(key, query - mx::array(window)));
}

mx::array capped(const mx::array& scores, float cap) {
  return cap == 0 ? scores : mx::tanh(scores / mx::array(cap)) * mx::array(cap);
}

mx::array by_definition(
    const mx::array& q,
    const mx::array& k,
    const mx::array& v,
    const AttentionRule& rule,
    const std::vector<int>& counts) {
  int B = q.shape(0), H = q.shape(1), T = q.shape(2), E = q.shape(3);
  int K = k.shape(1), S = k.shape(2);
  auto grouped = mx::reshape(mx::astype(q, mx::float32), {B, K, H / K, T, E});
  auto keys = mx::expand_dims(mx::astype(k, mx::float32), 2);  // [B, K, 1, S, E]
  auto values = mx::expand_dims(mx::astype(v, mx::float32), 2);
  auto scores = mx::matmul(grouped, mx::swapaxes(keys, -1, -2)) * mx::array(rule.scale);
  scores = mx::where(
      visible(T, S, rule.window, counts),
      capped(scores, rule.softcap),
      mx::array(-std::numeric_limits<float>::infinity()));
  auto out = mx::matmul(mx::softmax(scores, -1, true), values);
  return mx::astype(mx::reshape(out, {B, H, T, E}), q.dtype());
}

}  // namespace

mx::array masked_attention(
    const mx::array& q,
    const mx::array& k,
    const mx::array& v,
    const AttentionRule& rule,
    const std::vector<int>& counts) {
  int S = k.shape(2);
  bool ragged = std::ranges::any_of(counts, [&](int count) { return count != S; });
  if (rule.is_plain(S) && !ragged) {
    return mx::fast::scaled_dot_product_attention(
        q, k, v, rule.scale, q.shape(2) == 1 ? "" : "causal");
  }
  auto run = [rule, counts](const std::vector<mx::array>& in) {
    return std::vector<mx::array>{by_definition(in[0], in[1], in[2], rule, counts)};
  };
  return mx::checkpoint(run)({q, k, v})[0];
}

}  // namespace pupil
