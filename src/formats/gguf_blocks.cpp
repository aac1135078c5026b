#include "formats/gguf_blocks.h"

#include <cstring>
#include <stdexcept>
#include <string>

namespace pupil {
namespace {

constexpr int kBlock = 32;

[[noreturn]] void fail(size_t block, const std::string& what) {
  throw std::invalid_argument("block " + std::to_string(block) + " has " + what);
}

uint16_t half_at(const std::byte* bytes, size_t block) {
  uint16_t half;
  std::memcpy(&half, bytes, sizeof(half));
  if ((half & 0x7c00) == 0x7c00) fail(block, "a scale that is not finite");
  return half;
}

// -2^power * half, exactly: a subnormal number doubles by a shift, a normal one by its
// exponent.
uint16_t minus_times_power_of_two(uint16_t half, int power, size_t block) {
  uint16_t magnitude = half & 0x7fff;
  for (int i = 0; i < power; ++i) {
    magnitude += magnitude < 0x400 ? magnitude : 0x400;
    if (magnitude >= 0x7c00) fail(block, "a scale too large for a float16 bias");
  }
  return static_cast<uint16_t>((~half & 0x8000) | magnitude);
}

// 16 bytes: weight i in the low half of byte i, weight i + 16 in its high half.
void pack_nibbles(const std::byte* from, uint32_t* packed) {
  for (int i = 0; i < kBlock; ++i) {
    auto byte = std::to_integer<uint32_t>(from[i % 16]);
    uint32_t q = i < 16 ? byte & 15 : byte >> 4;
    packed[i / 8] |= q << (4 * (i % 8));
  }
}

// 32 signed bytes; q + 128 is q with its sign bit turned.
void pack_bytes(const std::byte* from, uint32_t* packed) {
  for (int i = 0; i < kBlock; ++i) {
    uint32_t q = std::to_integer<uint32_t>(from[i]) ^ 0x80;
    packed[i / 4] |= q << (8 * (i % 4));
  }
}

}  // namespace

bool is_quantized(GgufType type) {
  return gguf_layout(type).block_size > 1;
}

AffineBlocks affine_blocks(GgufType type, std::span<const std::byte> bytes) {
  size_t block_bytes = gguf_layout(type).block_bytes;
  size_t blocks = bytes.size() / block_bytes;
  AffineBlocks result{type == GgufType::q8_0 ? 8 : 4, {}, {}, {}};
  result.packed.resize(blocks * result.bits);
  result.scales.resize(blocks);
  result.biases.resize(blocks);
  for (size_t i = 0; i < blocks; ++i) {
    const std::byte* block = bytes.data() + i * block_bytes;
    uint32_t* packed = result.packed.data() + i * result.bits;
    uint16_t d = result.scales[i] = half_at(block, i);
    if (type == GgufType::q4_1) {
      result.biases[i] = half_at(block + 2, i);
      pack_nibbles(block + 4, packed);
    } else if (type == GgufType::q4_0) {
      result.biases[i] = minus_times_power_of_two(d, 3, i);
      pack_nibbles(block + 2, packed);
    } else {
      result.biases[i] = minus_times_power_of_two(d, 7, i);
      pack_bytes(block + 2, packed);
    }
  }
  return result;
}

std::vector<std::byte> unpermuted_rows(
    std::span<const std::byte> bytes, int64_t rows, int64_t heads) {
  std::vector<std::byte> result(bytes.size());
  size_t row_bytes = bytes.size() / rows;
  int64_t per_head = rows / heads;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t in_head = row % per_head;
    int64_t to = row - in_head + in_head % 2 * (per_head / 2) + in_head / 2;
    std::memcpy(&result[to * row_bytes], &bytes[row * row_bytes], row_bytes);
  }
  return result;
}

}  // namespace pupil
