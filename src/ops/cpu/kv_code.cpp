#include "ops/cpu/kv_code.h"

#include <cstring>

#include "ops/cpu/attention_types.h"
#include "ops/cpu/cpu_features.h"
#include "ops/cpu/half_types.h"

namespace pupil::cpu {

namespace {

constexpr int64_t kMostWidth = 1024;  // of a head (models/model_config.cpp)

void store_scale(float scale, uint8_t* to) {
  Bf16 half = to_bf16(scale);
  std::memcpy(to, &half, sizeof half);
}

}  // namespace

void round_tokens(const float* x, int64_t tokens, const CodedHead& head, float* out) {
  for (int64_t i = 0; i < tokens * head.width; i += head.group)
    kernels().round_kv_group(x + i, head.group, out + i);
}

void code_value(const float* x, const CodedHead& head, uint8_t* to) {
  for (int64_t g = 0; g < head.groups(); ++g) {
    int64_t at = g * head.group;
    auto* codes = reinterpret_cast<int8_t*>(to + at);
    float scale = kernels().code_kv_group(x + at, head.group, codes);
    store_scale(scale, to + head.width + 2 * g);
  }
}

// A token of its own first, then a column of the page.
void code_key(const float* x, const CodedHead& head, int64_t place, uint8_t* page) {
  uint8_t token[2 * kMostWidth] = {};
  code_value(x, head, token);
  for (int64_t e = 0; e < head.width; ++e) page[e * kPageTokens + place] = token[e];
  uint8_t* scales = page + head.width * kPageTokens;
  for (int64_t g = 0; g < head.groups(); ++g)
    std::memcpy(
        scales + 2 * (g * kPageTokens + place),
        token + head.width + 2 * g,
        sizeof(Bf16));
}

}  // namespace pupil::cpu
