#include "ops/cpu/kv_code.h"

#include <cstring>
#include <limits>

#include "ops/all_isas.h"
#include "ops/cpu/attention_types.h"
#include "ops/cpu/half_types.h"

namespace pupil::cpu {

namespace {

constexpr float kMost = 127.0f, kLeastScale = 0x1p-100f;
constexpr uint32_t kInfinity = 0x7f800000u;

// Of a group; NaN if a number in it is not finite, whose bits are the largest.
PUPIL_ALL_ISAS float group_scale(const float* x, int64_t n) {
  uint32_t most = 0;
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits = to_bits(x[i]) & 0x7fffffffu;
    most = bits > most ? bits : most;
  }
  if (most >= kInfinity) return std::numeric_limits<float>::quiet_NaN();
  float scale = to_float(to_bf16(from_bits(most) / kMost));
  return scale < kLeastScale ? kLeastScale : scale;
}

// A whole number of -127 to 127, or NaN: the sum leaves no bits for a fraction.
inline float code_of(float x, float scale) {
  constexpr float kMagic = 12582912.0f;
  float code = (x / scale + kMagic) - kMagic;
  code = code > kMost ? kMost : code;
  return code < -kMost ? -kMost : code;
}

PUPIL_ALL_ISAS void whole_codes(const float* x, int64_t n, float scale, float* codes) {
  for (int64_t i = 0; i < n; ++i) codes[i] = code_of(x[i], scale);
}

PUPIL_ALL_ISAS void scaled(const float* codes, int64_t n, float scale, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = codes[i] * scale;
}

// In bytes; NaN has the code 0.
PUPIL_ALL_ISAS void byte_codes(const float* x, int64_t n, float scale, uint8_t* codes) {
  for (int64_t i = 0; i < n; ++i) {
    float code = code_of(x[i], scale);
    code = code == code ? code : 0.0f;
    codes[i] = static_cast<uint8_t>(static_cast<int8_t>(code));
  }
}

constexpr int64_t kMostWidth = 1024;  // of a head (models/model_config.cpp)

void store_scale(float scale, uint8_t* to) {
  Bf16 half = to_bf16(scale);
  std::memcpy(to, &half, sizeof half);
}

}  // namespace

void round_tokens(const float* x, int64_t tokens, const CodedHead& head, float* out) {
  for (int64_t i = 0; i < tokens * head.width; i += head.group) {
    float scale = group_scale(x + i, head.group);
    whole_codes(x + i, head.group, scale, out + i);
    scaled(out + i, head.group, scale, out + i);
  }
}

void code_value(const float* x, const CodedHead& head, uint8_t* to) {
  for (int64_t g = 0; g < head.groups(); ++g) {
    int64_t at = g * head.group;
    float scale = group_scale(x + at, head.group);
    byte_codes(x + at, head.group, scale, to + at);
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
