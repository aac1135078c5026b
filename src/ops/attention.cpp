#include "ops/attention.h"

#include <algorithm>
#include <span>
#include <stdexcept>
#include <string>

#include "ops/cpu/attention_primitive.h"
#include "ops/host_values.h"
#include "ops/masked_attention.h"

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
    std::span<const int> lengths,
    const AttentionRule& rule) {
  std::vector<int> counts;
  for (int length : lengths) counts.push_back(prefix.k.shape(2) + length);
  auto k = behind_prefix(prefix.k, tail_k), v = behind_prefix(prefix.v, tail_v);
  return masked_attention(q, k, v, rule, counts);
}

mx::array plain_decode(
    const mx::array& q,
    const std::vector<SharedPrefix>& prefixes,
    const mx::array& tail_k,
    const mx::array& tail_v,
    std::span<const int> lengths,
    const AttentionRule& rule) {
  int longest = *std::ranges::max_element(lengths);
  auto own_k = first_positions(tail_k, longest);
  auto own_v = first_positions(tail_v, longest);
  std::vector<mx::array> groups;
  int row = 0;
  for (const auto& prefix : prefixes) {
    if (prefix.num_rows == 0) continue;
    int end = row + prefix.num_rows;
    groups.push_back(decode_group(
        rows_of(q, row, end),
        prefix,
        rows_of(own_k, row, end),
        rows_of(own_v, row, end),
        lengths.subspan(row, prefix.num_rows),
        rule));
    row = end;
  }
  return mx::concatenate(groups, 0);
}

/// Consecutive segments of one parent, padded to the longest.
struct Family {
  int begin = 0, rows = 0;  // their tokens in M
  int count = 0, longest = 0, parent = -1;
  std::vector<int> places;  // of the tokens, in [count * longest]
  std::vector<int> tokens;  // and back: index from `begin` on, `rows` for padding
};

Family family_at(const std::vector<Segment>& segments, size_t first, int begin) {
  Family f;
  f.begin = begin;
  f.parent = segments[first].parent;
  size_t end = first;
  for (; end < segments.size() && segments[end].parent == f.parent; ++end, ++f.count)
    f.longest = std::max(f.longest, segments[end].length);
  for (size_t s = first; s < end; ++s)
    for (int t = 0; t < f.longest; ++t) {
      bool inside = t < segments[s].length;
      if (inside) f.places.push_back(static_cast<int>(f.tokens.size()));
      f.tokens.push_back(inside ? f.rows++ : -1);
    }
  for (int& token : f.tokens) token = token < 0 ? f.rows : token;
  return f;
}

// [M, H, E] -> [count, H, longest, E], zeros as padding.
mx::array padded(const mx::array& x, const Family& f) {
  auto own = rows_of(x, f.begin, f.begin + f.rows);
  auto zero = mx::zeros({1, x.shape(1), x.shape(2)}, x.dtype());
  auto all = mx::take(mx::concatenate({own, zero}, 0), int_array(f.tokens), 0);
  auto rows = mx::reshape(all, {f.count, f.longest, x.shape(1), x.shape(2)});
  return mx::transpose(rows, {0, 2, 1, 3});
}

// The other way: [count, H, longest, E] -> [rows, H, E].
mx::array unpadded(const mx::array& x, const Family& f) {
  auto rows = mx::reshape(
      mx::transpose(x, {0, 2, 1, 3}), {f.count * f.longest, x.shape(1), x.shape(3)});
  return mx::take(rows, int_array(f.places), 0);
}

void check_rows(
    const mx::array& q,
    const std::vector<SharedPrefix>& prefixes,
    const std::vector<int>& lengths) {
  int rows = 0;
  for (const auto& prefix : prefixes) rows += prefix.num_rows;
  if (rows == q.shape(0) && std::ssize(lengths) == rows) return;
  throw std::invalid_argument(
      "[decode_attention] the prefixes cover " + std::to_string(rows) +
      " rows, and there are " + std::to_string(lengths.size()) + " lengths, expected " +
      std::to_string(q.shape(0)));
}

void check_heads(const mx::array& q, const mx::array& k) {
  if (q.ndim() == k.ndim() && k.ndim() >= 3 && k.shape(1) > 0 &&
      q.shape(1) % k.shape(1) == 0 && q.shape(-1) == k.shape(-1))
    return;
  throw std::invalid_argument(
      "[attention] expected as many axes of q and k, heads along the second, H a "
      "multiple of K, and one head width");
}

void check_segments(const mx::array& q, const std::vector<Segment>& segments) {
  int tokens = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    int parent = segments[i].parent;
    tokens += segments[i].length;
    bool fits =
        parent < 0 || (static_cast<size_t>(parent) < i && segments[parent].parent < 0);
    if (!fits || segments[i].length < 0)
      throw std::invalid_argument(
          "[packed_attention] segment " + std::to_string(i) + " with parent " +
          std::to_string(parent) + ": expected an earlier one without a parent");
  }
  if (tokens != q.shape(0))
    throw std::invalid_argument(
        "[packed_attention] the segments hold " + std::to_string(tokens) +
        " tokens, expected " + std::to_string(q.shape(0)));
}

// Of the tokens of one segment, with those of its parent.
int most_keys(const std::vector<Segment>& segments) {
  int most = 0;
  for (const auto& s : segments) {
    int before = s.parent < 0 ? 0 : segments[s.parent].length;
    most = std::max(most, before + s.length);
  }
  return most;
}

int most_keys(const std::vector<GrownSequence>& sequences) {
  int most = 0;
  for (const auto& s : sequences) most = std::max(most, s.k.shape(2));
  return most;
}

void check_sequences(const mx::array& q, const std::vector<GrownSequence>& sequences) {
  int tokens = 0;
  for (const auto& s : sequences) {
    tokens += s.num_new;
    if (s.k.ndim() == 4 && s.k.shape() == s.v.shape() && s.num_new > 0 &&
        s.num_new <= s.k.shape(2) && q.shape(1) % s.k.shape(1) == 0)
      continue;
    throw std::invalid_argument(
        "[grown_attention] expected k and v [1, K, S, E] with 1 to S new tokens, got " +
        std::to_string(s.num_new));
  }
  if (tokens != q.shape(0))
    throw std::invalid_argument(
        "[grown_attention] the sequences have " + std::to_string(tokens) +
        " new tokens, expected " + std::to_string(q.shape(0)));
}

int most_keys(const std::vector<SharedPrefix>& prefixes) {
  int most = 0;
  for (const auto& prefix : prefixes) most = std::max(most, prefix.k.shape(2));
  return most;
}

}  // namespace

mx::array packed_attention(
    const mx::array& q,
    const mx::array& k,
    const mx::array& v,
    const std::vector<Segment>& segments,
    const AttentionRule& rule) {
  check_heads(q, k);
  check_segments(q, segments);
  if (cpu::on_cpu() && rule.is_plain(most_keys(segments)))
    return cpu::fused_attention(q, k, v, segments, rule.scale);
  return packed_attention_fallback(q, k, v, segments, rule);
}

mx::array packed_attention_fallback(
    const mx::array& q,
    const mx::array& k,
    const mx::array& v,
    const std::vector<Segment>& segments,
    const AttentionRule& rule) {
  std::vector<int> begins = {0};
  for (const auto& s : segments) begins.push_back(begins.back() + s.length);
  std::vector<mx::array> outs;
  for (size_t i = 0; i < segments.size();) {
    auto family = family_at(segments, i, begins[i]);
    i += family.count;
    if (family.rows == 0) continue;
    auto keys = padded(k, family), values = padded(v, family);
    if (family.parent >= 0) {
      auto prefix = [&](const mx::array& x) {
        auto rows = rows_of(x, begins[family.parent], begins[family.parent + 1]);
        return mx::expand_dims(mx::transpose(rows, {1, 0, 2}), 0);
      };
      keys = behind_prefix(prefix(k), keys);
      values = behind_prefix(prefix(v), values);
    }
    outs.push_back(
        unpadded(masked_attention(padded(q, family), keys, values, rule), family));
  }
  return outs.empty() ? mx::zeros_like(q) : mx::concatenate(outs, 0);
}

mx::array grown_attention(
    const mx::array& q,
    const std::vector<GrownSequence>& sequences,
    const AttentionRule& rule) {
  check_sequences(q, sequences);
  if (cpu::on_cpu() && rule.is_plain(most_keys(sequences)))
    return cpu::fused_grown(q, sequences, rule.scale);
  return grown_attention_fallback(q, sequences, rule);
}

mx::array grown_attention_fallback(
    const mx::array& q,
    const std::vector<GrownSequence>& sequences,
    const AttentionRule& rule) {
  std::vector<mx::array> outs;
  int begin = 0;
  for (const auto& s : sequences) {
    int end = begin + s.num_new;
    auto queries = mx::expand_dims(mx::transpose(rows_of(q, begin, end), {1, 0, 2}), 0);
    auto out = masked_attention(queries, s.k, s.v, rule);  // [1, H, T, E]
    outs.push_back(mx::transpose(mx::squeeze(out, 0), {1, 0, 2}));
    begin = end;
  }
  return outs.empty() ? mx::zeros_like(q) : mx::concatenate(outs, 0);
}

mx::array decode_attention(
    const mx::array& q,
    const std::vector<SharedPrefix>& prefixes,
    const mx::array& tail_k,
    const mx::array& tail_v,
    const std::vector<int>& lengths,
    const AttentionRule& rule) {
  check_heads(q, tail_k);
  check_rows(q, prefixes, lengths);
  if (lengths.empty()) return mx::zeros_like(q);
  if (cpu::on_cpu() && rule.is_plain(most_keys(prefixes) + std::ranges::max(lengths)))
    return cpu::fused_decode(q, prefixes, tail_k, tail_v, lengths, rule.scale);
  return plain_decode(q, prefixes, tail_k, tail_v, lengths, rule);
}

}  // namespace pupil
