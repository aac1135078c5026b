// A block of coded keys and values as float32, keys turned: a code times its scale is
// exact, so that what follows has the bits of a cache of rounded floats.

#pragma once

#include "ops/cpu/half_types.h"
#include "ops/cpu/key_block.h"
#include "ops/cpu/vector_math.h"

namespace pupil::cpu {
namespace {

/// Tokens of one page of keys, and their values.
struct CodedPart {
  const uint8_t *k, *v;   // the page; the first token's value
  int64_t before, count;  // tokens of the page before the first
  int64_t first;          // place in the block of the first
};

// Of the prefix, from the absolute position `from` on.
inline CodedPart prefix_part(
    const Attention& a, int64_t kv_head, int64_t from, int64_t start, int64_t end) {
  int64_t bytes = coded_bytes(a.width, a.group), before = from % kPageTokens;
  int64_t left = (end < a.prefix ? end : a.prefix) - from, room = kPageTokens - before;
  return {
      a.coded.k + kv_head * a.coded.k_head + (from - before) * bytes,
      a.coded.v + kv_head * a.coded.v_head + from * bytes,
      before,
      left < room ? left : room,
      from - start};
}

// Of row b's own.
inline CodedPart own_part(
    const Attention& a,
    int64_t b,
    int64_t kv_head,
    int64_t from,
    int64_t start,
    int64_t end) {
  int64_t bytes = coded_bytes(a.width, a.group), before = from % kPageTokens;
  int64_t left = end - from, room = kPageTokens - before;
  const float* page = a.pages[b][from / kPageTokens - a.prefix / kPageTokens];
  const auto* keys = reinterpret_cast<const uint8_t*>(page + a.page_at);
  return {
      keys + kv_head * bytes * kPageTokens,
      keys + (a.kv_heads + kv_head) * bytes * kPageTokens + before * bytes,
      before,
      left < room ? left : room,
      from - start};
}

// keys [width, kKeyBlock] at the part's places.
template <class V>
void decode_keys(const Attention& a, const CodedPart& part, float* keys) {
  const auto* codes = reinterpret_cast<const Code8*>(part.k) + part.before;
  const auto* scales =
      reinterpret_cast<const Bf16*>(part.k + a.width * kPageTokens) + part.before;
  for_lanes<V>(part.count, [&](int64_t t, int64_t n) {
    float* to = keys + part.first + t;
    for (int64_t e = 0; e < a.width; e += a.group) {
      auto scale = load_some<V>(scales + e / a.group * kPageTokens + t, n);
      for (int64_t i = e; i < e + a.group; ++i) {
        auto code = load_some<V>(codes + i * kPageTokens + t, n);
        store_some<V>(to + i * kKeyBlock, n, V::mul(code, scale));
      }
    }
  });
}

// values [kKeyBlock, width] at the part's places.
template <class V>
void decode_values(const Attention& a, const CodedPart& part, float* values) {
  int64_t bytes = coded_bytes(a.width, a.group);
  for (int64_t t = 0; t < part.count; ++t) {
    const uint8_t* token = part.v + t * bytes;
    const auto* codes = reinterpret_cast<const Code8*>(token);
    const auto* scales = reinterpret_cast<const Bf16*>(token + a.width);
    float* to = values + (part.first + t) * a.width;
    for (int64_t e = 0; e < a.width; e += a.group) {
      auto scale = V::set1(to_float(scales[e / a.group]));
      for_lanes<V>(a.group, [&](int64_t i, int64_t n) {
        store_some<V>(to + e + i, n, V::mul(load_some<V>(codes + e + i, n), scale));
      });
    }
  }
}

// The keys of row b from `start` on, in `memory`.
template <class V>
KeyBlock decoded_block(
    const Attention& a, int64_t b, int64_t kv_head, int64_t start, float* memory) {
  int64_t total = num_keys(a, b), end = start + kKeyBlock;
  if (end > total) end = total;
  float *keys = memory, *values = memory + a.width * kKeyBlock;
  for (int64_t from = start; from < end;) {
    auto part = from < a.prefix ? prefix_part(a, kv_head, from, start, end)
                                : own_part(a, b, kv_head, from, start, end);
    decode_keys<V>(a, part, keys);
    decode_values<V>(a, part, values);
    from += part.count;
  }
  KeyBlock block{{}, start, end - start};
  block.parts[0] = {keys, values, kKeyBlock, a.width, 0, end - start, 0, kKeyBlock};
  return block;
}

}  // namespace
}  // namespace pupil::cpu
