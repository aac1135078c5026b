// Codes of keys and values on plain memory; see ops/kv_codes.h. A coded token of one
// head has `width` bytes of codes and then the groups' scales, bfloat16.

#pragma once

#include <stdint.h>

#include "ops/kv_codes.h"

namespace pupil::cpu {

/// How the tokens of one head lie in a coded cache.
struct CodedHead {
  int64_t width, group;

  explicit constexpr CodedHead(int64_t head_width)
      : width(head_width), group(kv_group(static_cast<int>(head_width))) {}
  constexpr int64_t groups() const { return width / group; }
  constexpr int64_t token_bytes() const { return width + 2 * groups(); }
};

/// x [tokens, width] -> what is left of it, to `out`.
void round_tokens(const float* x, int64_t tokens, const CodedHead& head, float* out);

/// One value of one head: `token_bytes` to `to`.
void code_value(const float* x, const CodedHead& head, uint8_t* to);

/// One key of one head, place `place` of a page: codes as [width, kPageTokens], then
/// scales as [groups, kPageTokens].
void code_key(const float* x, const CodedHead& head, int64_t place, uint8_t* page);

}  // namespace pupil::cpu
