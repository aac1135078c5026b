#include "ops/attention.h"

#include <stdexcept>
#include <string>

#include "ops/cpu/attention_primitive.h"

namespace pupil {
namespace {

mx::array rows_of(const mx::array& x, int begin, int end) {
  auto stop = x.shape();
  stop[0] = end;
  mx::Shape start(x.ndim(), 0);
  start[0] = begin;
  return mx::slice(x, start, stop);
}

// The prefix [1, K, P, E] before each row of own [B, K, T, E] -> [B, K, P + T, E].
mx::array behind_prefix(const mx::array& prefix, const mx::array& own) {
  auto shape = prefix.shape();
  shape[0] = own.shape(0);
  return mx::concatenate({mx::broadcast_to(prefix, shape), own}, 2);
}

mx::array first_positions(const mx::array& tail, int length) {
  auto stop = tail.shape();
  stop[2] = length;
  return mx::slice(tail, {0, 0, 0, 0}, stop);
}

mx::array decode_group(
    const mx::array& q,
    const SharedPrefix& prefix,
    const mx::array& tail_k,
    const mx::array& tail_v,
    float scale) {
  return mx::fast::scaled_dot_product_attention(
      q, behind_prefix(prefix.k, tail_k), behind_prefix(prefix.v, tail_v), scale);
}

mx::array plain_decode(
    const mx::array& q,
    const std::vector<SharedPrefix>& prefixes,
    const mx::array& tail_k,
    const mx::array& tail_v,
    int length,
    float scale) {
  auto own_k = first_positions(tail_k, length);
  auto own_v = first_positions(tail_v, length);
  std::vector<mx::array> groups;
  int row = 0;
  for (const auto& prefix : prefixes) {
    int end = row + prefix.num_rows;
    groups.push_back(decode_group(
        rows_of(q, row, end),
        prefix,
        rows_of(own_k, row, end),
        rows_of(own_v, row, end),
        scale));
    row = end;
  }
  return mx::concatenate(groups, 0);
}

void check_rows(const mx::array& q, const std::vector<SharedPrefix>& prefixes) {
  int rows = 0;
  for (const auto& prefix : prefixes) rows += prefix.num_rows;
  if (rows == q.shape(0)) return;
  throw std::invalid_argument(
      "[decode_attention] the prefixes cover " + std::to_string(rows) +
      " rows, expected " + std::to_string(q.shape(0)));
}

void check_heads(const mx::array& q, const mx::array& k) {
  if (q.ndim() == 4 && k.ndim() == 4 && k.shape(1) > 0 &&
      q.shape(1) % k.shape(1) == 0 && q.shape(3) == k.shape(3))
    return;
  throw std::invalid_argument(
      "[attention] expected q [B, H, T, E] and k [B, K, S, E] with H a multiple of K");
}

}  // namespace

mx::array causal_attention(
    const mx::array& q, const mx::array& k, const mx::array& v, float scale) {
  check_heads(q, k);
  if (k.shape(2) < q.shape(2))
    throw std::invalid_argument(
        "[causal_attention] expected no fewer keys than queries");
  if (!cpu::on_cpu())
    return mx::fast::scaled_dot_product_attention(q, k, v, scale, "causal");
  auto none = mx::zeros({1, k.shape(1), 0, k.shape(3)}, k.dtype());
  return cpu::fused_attention(q, none, none, k, v, scale);
}

mx::array branch_attention(
    const mx::array& q,
    const mx::array& prefix_k,
    const mx::array& prefix_v,
    const mx::array& k,
    const mx::array& v,
    float scale) {
  check_heads(q, k);
  if (cpu::on_cpu()) return cpu::fused_attention(q, prefix_k, prefix_v, k, v, scale);
  return causal_attention(
      q, behind_prefix(prefix_k, k), behind_prefix(prefix_v, v), scale);
}

mx::array decode_attention(
    const mx::array& q,
    const std::vector<SharedPrefix>& prefixes,
    const mx::array& tail_k,
    const mx::array& tail_v,
    int length,
    float scale) {
  check_heads(q, tail_k);
  check_rows(q, prefixes);
  if (cpu::on_cpu())
    return cpu::fused_decode(q, prefixes, tail_k, tail_v, length, scale);
  return plain_decode(q, prefixes, tail_k, tail_v, length, scale);
}

}  // namespace pupil
