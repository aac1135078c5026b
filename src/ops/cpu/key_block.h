// Where the keys and values of one block lie.

#pragma once

#include "ops/cpu/attention_types.h"

namespace pupil::cpu {
namespace {

/// Some keys and values of one block, row by row, or turned keys.
struct KeyPart {
  const float *k, *v;
  int64_t k_stride, v_stride;
  int64_t first, count;  // place in the block of the first; number of keys
  // Of turned keys: how many lie before the part's first, and how many can be read.
  int64_t before, readable;
};

/// A block lies in the prefix, in the row's own keys or in its pages, or across the end
/// of the prefix.
struct KeyBlock {
  KeyPart parts[3];
  int64_t start, count;  // absolute position of the first; number of keys
};

inline const float* at(const HeadView& view, int64_t b, int64_t head, int64_t token) {
  return view.data + b * view.batch + head * view.head + token * view.token;
}

inline const float* key_at(
    const Attention& a, const HeadView& view, int64_t b, int64_t head, int64_t token) {
  if (a.turned) return view.data + b * view.batch + head * view.head + token;
  return at(view, b, head, token);
}

// Keys that row b has, its own among them.
inline int64_t num_keys(const Attention& a, int64_t b) {
  return a.prefix + (a.lengths ? a.lengths[b] : a.own);
}

// Row b's keys from the absolute position `from` on, as far as their page and `block`
// reach.
inline KeyPart page_part(
    const Attention& a,
    int64_t b,
    int64_t kv_head,
    int64_t from,
    const KeyBlock& block) {
  int64_t page = from / kPageTokens, before = from % kPageTokens;
  int64_t size = a.width * kPageTokens, left = block.start + block.count - from;
  const float* k =
      a.pages[b][page - a.prefix / kPageTokens] + a.page_at + kv_head * size;
  return {
      k,
      k + a.kv_heads * size + before * a.width,
      kPageTokens,
      a.width,
      from - block.start,
      left < kPageTokens - before ? left : kPageTokens - before,
      before,
      kPageTokens};
}

// Row b's own keys of the block, behind `shared` of the prefix.
inline void add_own(
    const Attention& a, int64_t b, int64_t kv_head, int64_t shared, KeyBlock& block) {
  KeyPart* next = block.parts + 1;
  for (int64_t at_key = shared; a.pages && at_key < block.count; ++next) {
    *next = page_part(a, b, kv_head, block.start + at_key, block);
    at_key += next->count;
  }
  if (a.pages) return;
  int64_t own = block.start + shared - a.prefix;
  *next = {
      key_at(a, a.k, b, kv_head, own),
      at(a.v, b, kv_head, own),
      a.k.token,
      a.v.token,
      shared,
      block.count - shared,
      0,
      kKeyBlock};
}

// The keys of row b from `start` on.
inline KeyBlock key_block(
    const Attention& a, int64_t b, int64_t kv_head, int64_t start) {
  int64_t total = num_keys(a, b), end = start + kKeyBlock;
  if (end > total) end = total;
  int64_t shared = (end < a.prefix ? end : a.prefix) - start;
  if (shared < 0) shared = 0;
  KeyBlock block{{}, start, end - start};
  if (shared > 0)
    block.parts[0] = {
        key_at(a, a.prefix_k, 0, kv_head, start),
        at(a.prefix_v, 0, kv_head, start),
        a.prefix_k.token,
        a.prefix_v.token,
        0,
        shared,
        0,
        kKeyBlock};
  if (shared < block.count) add_own(a, b, kv_head, shared, block);
  return block;
}

}  // namespace
}  // namespace pupil::cpu
