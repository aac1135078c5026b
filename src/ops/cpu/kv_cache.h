// Keys and values in 8 bits as MLX operations of the CPU; see ops/kv_codes.h.

#pragma once

#include "ops/cpu/arrays.h"

namespace pupil::cpu {

/// x [..., E] -> what a coded cache holds of it, in x's type. The gradient goes
/// straight through.
mx::array kv_rounded(const mx::array& x);

/// A prompt's keys [1, K, P, E] in pages of kPageTokens tokens, the last one filled
/// with zeros: [1, K, pages, page's bytes] uint8, each page as `code_key` writes it.
mx::array coded_keys(const mx::array& keys);

/// A prompt's values [1, K, P, E] -> [1, K, P, token's bytes] uint8, as `code_value`
/// writes them.
mx::array coded_values(const mx::array& values);

}  // namespace pupil::cpu
