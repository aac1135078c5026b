#include "formats/gguf_superblocks.h"

#include <array>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace pupil {
namespace {

constexpr int kSuperblock = 256;
constexpr float kLargestHalf = 65504;

[[noreturn]] void fail(const std::string& what) {
  throw std::invalid_argument(what);
}

int byte_at(const std::byte* bytes, int at) {
  return std::to_integer<int>(bytes[at]);
}

float half_at(const std::byte* bytes) {
  uint16_t half;
  std::memcpy(&half, bytes, sizeof(half));
  int exponent = half >> 10 & 31, fraction = half & 1023;
  if (exponent == 31) fail("a scale that is not finite");
  float size = exponent == 0
                   ? std::ldexp(static_cast<float>(fraction), -24)
                   : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return half & 0x8000 ? -size : size;
}

struct ScaleAndMin {
  int scale, min;  // 6 bits each
};

// Of group i of 8, from 12 bytes: the low six bits of bytes 0-3 are the scales of
// groups 0-3, those of bytes 4-7 their minima; bytes 8-11 hold the low fours of the
// others, whose high twos are the top bits of bytes 0-7.
ScaleAndMin scale_and_min(const std::byte* codes, int i) {
  if (i < 4) return {byte_at(codes, i) & 63, byte_at(codes, i + 4) & 63};
  int low = byte_at(codes, i + 4);
  int scale_top = byte_at(codes, i - 4) >> 6, min_top = byte_at(codes, i) >> 6;
  return {(low & 15) | scale_top << 4, low >> 4 | min_top << 4};
}

// Groups 2 i and 2 i + 1 of 32 share 32 bytes of `low`, by halves; bit i of byte j of
// `fifth`, if there is one, belongs to weight j of group i.
void unpack_4_or_5(
    const std::byte* block,
    const std::byte* fifth,
    const std::byte* low,
    float* weights) {
  float d = half_at(block), dmin = half_at(block + 2);
  for (int group = 0; group < 8; ++group) {
    auto [s, m] = scale_and_min(block + 4, group);
    float scale = d * static_cast<float>(s), min = dmin * static_cast<float>(m);
    for (int j = 0; j < 32; ++j) {
      int q = byte_at(low, group / 2 * 32 + j) >> (group % 2 * 4) & 15;
      if (fifth) q |= (byte_at(fifth, j) >> group & 1) << 4;
      weights[group * 32 + j] = scale * static_cast<float>(q) - min;
    }
  }
}

void unpack_q4_k(const std::byte* block, float* weights) {
  unpack_4_or_5(block, nullptr, block + 16, weights);
}

void unpack_q5_k(const std::byte* block, float* weights) {
  unpack_4_or_5(block, block + 16, block + 48, weights);
}

// Each half of 128 weights has 64 bytes of low fours, first the low halves of all and
// then the high ones, and 32 bytes of high twos, a pair of bits for each 32 weights.
void unpack_q6_k(const std::byte* block, float* weights) {
  const std::byte *low = block, *high = block + 128, *scales = block + 192;
  float d = half_at(block + 208);
  for (int i = 0; i < kSuperblock; ++i) {
    int half = i / 128, in_half = i % 128;
    int four = byte_at(low, half * 64 + in_half % 64) >> (in_half / 64 * 4) & 15;
    int two = byte_at(high, half * 32 + in_half % 32) >> (in_half / 32 * 2) & 3;
    auto scale = static_cast<float>(static_cast<int8_t>(byte_at(scales, i / 16)));
    weights[i] = d * scale * static_cast<float>((four | two << 4) - 32);
  }
}

auto unpacker_of(GgufType type) {
  if (type == GgufType::q4_k) return unpack_q4_k;
  if (type == GgufType::q5_k) return unpack_q5_k;
  if (type == GgufType::q6_k) return unpack_q6_k;
  throw std::logic_error("[gguf] " + gguf_type_name(type) + " has no super-blocks");
}

void expect_float16(const float* weights) {
  for (int i = 0; i < kSuperblock; ++i) {
    if (std::abs(weights[i]) > kLargestHalf) fail("a weight beyond float16");
  }
}

}  // namespace

void unpack_superblocks(
    GgufType type, std::span<const std::byte> bytes, std::span<float> weights) {
  auto unpack = unpacker_of(type);
  size_t block_bytes = gguf_layout(type).block_bytes;
  size_t blocks = bytes.size() / block_bytes;
  for (size_t i = 0; i < blocks; ++i) {
    float* to = weights.subspan(i * kSuperblock, kSuperblock).data();
    try {
      unpack(bytes.data() + i * block_bytes, to);
      expect_float16(to);
    } catch (const std::invalid_argument& error) {
      fail("block " + std::to_string(i) + " has " + error.what());
    }
  }
}

}  // namespace pupil
