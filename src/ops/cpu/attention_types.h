// Attention as the kernels see it: strided float32 views and one tile of the work.

#pragma once

#include <stdint.h>

namespace pupil::cpu {

/// [B, heads, tokens, E] with unit stride along E; strides in elements.
struct HeadView {
  const float* data;
  int64_t batch, head, token;
};

/// Where (b, head, query) lies, in a buffer of vectors [E] or of single values.
struct OutLayout {
  int64_t batch, head, query;
};

/// Positions of a page.
constexpr int64_t kPageTokens = 32;

/// Floats of one page of one layer: keys as [kv_heads, E, kPageTokens], then values as
/// [kv_heads, kPageTokens, E].
constexpr int64_t page_floats(int64_t kv_heads, int64_t width) {
  return 2 * kv_heads * width * kPageTokens;
}

/// Bytes that a token of one head has in a coded cache (ops/kv_codes.h): `width` codes,
/// then a bfloat16 scale for each group of `group` of them.
constexpr int64_t coded_bytes(int64_t width, int64_t group) {
  return width + 2 * (width / group);
}

/// The same page coded, in floats of memory. Keys as [kv_heads][codes [E, kPageTokens],
/// scales [groups, kPageTokens]], then values as [kv_heads, kPageTokens][codes [E],
/// scales [groups]].
constexpr int64_t coded_page_floats(int64_t kv_heads, int64_t width, int64_t group) {
  return 2 * kv_heads * coded_bytes(width, group) * kPageTokens / 4;
}

/// A prompt's coded keys, in pages, and values; bytes from head to head.
struct CodedPrefix {
  const uint8_t *k, *v;
  int64_t k_head, v_head;
};

/// B rows of T queries. Row b's keys are the prefix's, at absolute positions 0 .. P -
/// 1, then its own; query t sees the first P + own - T + t + 1 of them.
struct Attention {
  HeadView q, prefix_k, prefix_v, k, v;  // the prefix is every row's: batch stride 0
  // A decode batch's rows, or null: how many keys each has of its own, in place of
  // `own`; and where they lie, in place of k and v: pages, `page_at` floats into each.
  // The first page of row b has the absolute position P, at P % kPageTokens.
  const int* lengths;
  const float* const* const* pages;
  int64_t page_at;
  int64_t heads, kv_heads, queries, prefix, own, width;
  float scale;
  // Keys lie as [E, tokens], those of the prefix so that whole blocks can be read;
  // their `token` is the stride along E. With pages only.
  bool turned;
  // Elements of a group where keys and values are coded, the prefix as `coded` says and
  // the pages as above; 0: they are float32. Turned ones only.
  int64_t group;
  CodedPrefix coded;
  OutLayout layout;  // of out and lse
  float* out;        // vectors [E]
  float* lse;        // log of the sum of e^score, or null
};

/// What the backward pass of one row and key head reads and writes besides.
struct AttentionGradient {
  const float* dout;  // laid out as `out`
  float* dq;          // the same
  float* dk;          // [P + own, E], zeroed by the caller
  float* dv;
};

/// Rows [b0, b1), queries [t0, t1) of the query heads that share `kv_head`.
struct AttentionTile {
  int64_t b0, b1, kv_head, t0, t1;
};

/// Keys of one step, at absolute positions that are multiples of it.
constexpr int64_t kKeyBlock = 64;

/// Floats of scratch that a tile of `rows` (query, head) pairs needs; a block of keys
/// and values more where they are coded.
constexpr int64_t attention_scratch(int64_t rows, int64_t width, bool coded = false) {
  return rows * (2 * width + 2 * kKeyBlock + 2) + (coded ? 2 * kKeyBlock * width : 0);
}

constexpr int64_t attention_gradient_scratch(int64_t rows, int64_t width) {
  return rows * (3 * width + 4 * kKeyBlock + 2);
}

}  // namespace pupil::cpu
