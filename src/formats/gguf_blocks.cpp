#include "formats/gguf_blocks.h"

#include <algorithm>
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
// exponent. Nothing beyond float16.
std::optional<uint16_t> minus_times_power_of_two(uint16_t half, int power) {
  uint16_t magnitude = half & 0x7fff;
  for (int i = 0; i < power; ++i) {
    magnitude += magnitude < 0x400 ? magnitude : 0x400;
    if (magnitude >= 0x7c00) return std::nullopt;
  }
  return static_cast<uint16_t>((~half & 0x8000) | magnitude);
}

uint16_t bias_of(uint16_t scale, int zero_power, size_t block) {
  auto bias = minus_times_power_of_two(scale, zero_power);
  if (!bias) fail(block, "a scale too large for a float16 bias");
  return *bias;
}

// Puts q behind the weights before it, `bits` each: MLX's order for every width.
void put_code(uint32_t* packed, int i, int bits, uint32_t q) {
  int at = i * bits, word = at / 32, shift = at % 32;
  packed[word] |= q << shift;
  if (shift + bits > 32) packed[word + 1] |= q >> (32 - shift);
}

uint32_t code_at(const uint32_t* packed, int i, int bits) {
  int at = i * bits, word = at / 32, shift = at % 32;
  uint64_t pair = packed[word];
  if (shift + bits > 32) pair |= uint64_t{packed[word + 1]} << 32;
  return static_cast<uint32_t>(pair >> shift & ((1u << bits) - 1));
}

// 16 bytes: weight i in the low half of byte i, weight i + 16 in its high half.
uint32_t nibble(const std::byte* from, int i) {
  auto byte = std::to_integer<uint32_t>(from[i % 16]);
  return i < 16 ? byte & 15 : byte >> 4;
}

void pack_nibbles(const std::byte* from, uint32_t* packed) {
  for (int i = 0; i < kBlock; ++i) put_code(packed, i, 4, nibble(from, i));
}

// The 32 fifth bits stand before the 16 bytes.
void pack_five_bits(const std::byte* from, uint32_t* packed) {
  uint32_t fifth;
  std::memcpy(&fifth, from, sizeof(fifth));
  for (int i = 0; i < kBlock; ++i) {
    uint32_t q = nibble(from + sizeof(fifth), i) | (fifth >> i & 1) << 4;
    put_code(packed, i, 5, q);
  }
}

// 32 signed bytes; q + 128 is q with its sign bit turned.
void pack_bytes(const std::byte* from, uint32_t* packed) {
  for (int i = 0; i < kBlock; ++i) {
    put_code(packed, i, 8, std::to_integer<uint32_t>(from[i]) ^ 0x80);
  }
}

/// How the blocks of a type become affine ones.
struct BlockForm {
  int bits;
  int zero_power;  // the bias is -2^zero_power times the scale; 0: a number of its own
  void (*pack)(const std::byte* codes, uint32_t* packed);
};

BlockForm form_of(GgufType type) {
  switch (type) {
    case GgufType::q4_0:
      return {4, 3, pack_nibbles};
    case GgufType::q4_1:
      return {4, 0, pack_nibbles};
    case GgufType::q5_0:
      return {5, 4, pack_five_bits};
    case GgufType::q5_1:
      return {5, 0, pack_five_bits};
    case GgufType::q8_0:
      return {8, 7, pack_bytes};
    default:
      throw std::logic_error("[gguf] " + gguf_type_name(type) + " is not affine");
  }
}

}  // namespace

bool is_quantized(GgufType type) {
  return gguf_layout(type).block_size > 1;
}

bool has_affine_blocks(GgufType type) {
  return gguf_layout(type).block_size == kBlock;
}

AffineBlocks affine_blocks(GgufType type, std::span<const std::byte> bytes) {
  auto form = form_of(type);
  size_t block_bytes = gguf_layout(type).block_bytes;
  size_t blocks = bytes.size() / block_bytes;
  AffineBlocks result{form.bits, {}, {}, {}};
  result.packed.resize(blocks * form.bits);
  result.scales.resize(blocks);
  result.biases.resize(blocks);
  for (size_t i = 0; i < blocks; ++i) {
    const std::byte* block = bytes.data() + i * block_bytes;
    uint16_t d = result.scales[i] = half_at(block, i);
    bool has_bias = form.zero_power == 0;
    result.biases[i] =
        has_bias ? half_at(block + 2, i) : bias_of(d, form.zero_power, i);
    form.pack(block + (has_bias ? 4 : 2), result.packed.data() + i * form.bits);
  }
  return result;
}

namespace {

bool is_finite(uint16_t half) {
  return (half & 0x7c00) != 0x7c00;
}

// Whether every bias is what a type without one of its own implies.
bool has_implied_biases(const AffineBlocks& blocks, int zero_power) {
  for (size_t i = 0; i < blocks.scales.size(); ++i) {
    auto implied = minus_times_power_of_two(blocks.scales[i], zero_power);
    if (implied != blocks.biases[i]) return false;
  }
  return true;
}

std::optional<GgufType> type_of(const AffineBlocks& blocks) {
  if (!std::all_of(blocks.scales.begin(), blocks.scales.end(), is_finite) ||
      !std::all_of(blocks.biases.begin(), blocks.biases.end(), is_finite)) {
    return std::nullopt;
  }
  if (blocks.bits == 4)
    return has_implied_biases(blocks, 3) ? GgufType::q4_0 : GgufType::q4_1;
  if (blocks.bits == 5)
    return has_implied_biases(blocks, 4) ? GgufType::q5_0 : GgufType::q5_1;
  if (blocks.bits == 8 && has_implied_biases(blocks, 7)) return GgufType::q8_0;
  return std::nullopt;
}

// The inverse of form_of(type).pack.
void unpack_codes(int bits, const uint32_t* packed, std::byte* to) {
  uint32_t fifth = 0;
  std::byte* nibbles = bits == 5 ? to + sizeof(fifth) : to;
  for (int i = 0; i < kBlock; ++i) {
    uint32_t q = code_at(packed, i, bits);
    if (bits == 8) {
      to[i] = static_cast<std::byte>(q ^ 0x80);
    } else {
      nibbles[i % 16] |= static_cast<std::byte>((q & 15) << (i < 16 ? 0 : 4));
      fifth |= (q >> 4) << i;
    }
  }
  if (bits == 5) std::memcpy(to, &fifth, sizeof(fifth));
}

}  // namespace

std::optional<GgufBlocks> gguf_blocks(const AffineBlocks& blocks) {
  auto type = type_of(blocks);
  if (!type) return std::nullopt;
  bool has_bias = form_of(*type).zero_power == 0;
  size_t block_bytes = gguf_layout(*type).block_bytes;
  GgufBlocks result{*type, std::vector<std::byte>(blocks.scales.size() * block_bytes)};
  for (size_t i = 0; i < blocks.scales.size(); ++i) {
    std::byte* to = result.bytes.data() + i * block_bytes;
    std::memcpy(to, &blocks.scales[i], 2);
    if (has_bias) std::memcpy(to + 2, &blocks.biases[i], 2);
    const uint32_t* packed = blocks.packed.data() + i * blocks.bits;
    unpack_codes(blocks.bits, packed, to + (has_bias ? 4 : 2));
  }
  return result;
}

namespace {

// Where llama.cpp puts a row of a head's halves: row j * half + i at 2 i + j.
int64_t interleaved(int64_t row, int64_t per_head) {
  int64_t in_head = row % per_head, half = per_head / 2;
  return row - in_head + in_head % half * 2 + in_head / half;
}

}  // namespace

std::vector<std::byte> unpermuted_rows(
    std::span<const std::byte> bytes, int64_t rows, int64_t heads) {
  std::vector<std::byte> result(bytes.size());
  size_t row_bytes = bytes.size() / rows;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t from = interleaved(row, rows / heads);
    std::memcpy(&result[row * row_bytes], &bytes[from * row_bytes], row_bytes);
  }
  return result;
}

std::vector<std::byte> permuted_rows(
    std::span<const std::byte> bytes, int64_t rows, int64_t heads) {
  std::vector<std::byte> result(bytes.size());
  size_t row_bytes = bytes.size() / rows;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t to = interleaved(row, rows / heads);
    std::memcpy(&result[to * row_bytes], &bytes[row * row_bytes], row_bytes);
  }
  return result;
}

}  // namespace pupil
