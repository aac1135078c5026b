// Blocks of GGUF as MLX's affine quantisation: the same weights, bit for bit.

#include "formats/gguf_blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "support/files.h"
#include "support/gguf_reference.h"

namespace pupil {
namespace {

using testing::half_value;
using testing::has;

double weight(GgufType type, const std::vector<std::byte>& block, int i) {
  return testing::block_weight(type, block, i, testing::BlockScales(type, block));
}

double affine_weight(const AffineBlocks& blocks, int i) {
  uint32_t q = 0;
  for (int bit = 0; bit < blocks.bits; ++bit) {
    int at = i * blocks.bits + bit;
    q |= (blocks.packed[at / 32] >> (at % 32) & 1) << bit;
  }
  return half_value(blocks.scales[i / 32]) * q + half_value(blocks.biases[i / 32]);
}

std::vector<std::byte> random_block(GgufType type, uint16_t d, std::mt19937& random) {
  std::vector<std::byte> block(gguf_layout(type).block_bytes);
  for (auto& byte : block) byte = static_cast<std::byte>(random());
  std::memcpy(block.data(), &d, 2);
  uint16_t m = 0xb555;  // -0.33
  if (testing::has_min(type)) std::memcpy(&block[2], &m, 2);
  return block;
}

class GgufBlocks : public ::testing::TestWithParam<GgufType> {};

TEST_P(GgufBlocks, EveryWeightStaysWhatItWas) {
  std::mt19937 random(7);
  // Both zeros, subnormal numbers and their border, one, and the largest that fit.
  for (uint16_t d :
       {0x0000,
        0x8000,
        0x0001,
        0x8001,
        0x03ff,
        0x0400,
        0x0011,
        0x3c00,
        0xbc00,
        0x2e66,
        0x5bff,
        0xdbff}) {
    auto block = random_block(GetParam(), d, random);
    auto blocks = affine_blocks(GetParam(), block);
    for (int i = 0; i < 32; ++i) {
      ASSERT_EQ(affine_weight(blocks, i), weight(GetParam(), block, i))
          << d << " " << i;
    }
  }
}

TEST_P(GgufBlocks, BlocksFollowEachOther) {
  std::mt19937 random(8);
  std::vector<std::byte> all, last;
  for (int i = 0; i < 3; ++i) {
    last = random_block(GetParam(), 0x3c00 + i, random);
    all.insert(all.end(), last.begin(), last.end());
  }
  auto blocks = affine_blocks(GetParam(), all);
  EXPECT_EQ(blocks.scales.size(), 3u);
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(affine_weight(blocks, 64 + i), weight(GetParam(), last, i));
  }
}

TEST_P(GgufBlocks, TheWayBackGivesTheSameBytes) {
  std::mt19937 random(12);
  std::vector<std::byte> all;
  for (int i = 0; i < 3; ++i) {
    auto block = random_block(GetParam(), 0x1c00 + 7 * i, random);
    all.insert(all.end(), block.begin(), block.end());
  }
  auto back = gguf_blocks(affine_blocks(GetParam(), all));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->type, GetParam());
  EXPECT_EQ(back->bytes, all);
}

TEST_P(GgufBlocks, ScalesThatAreNotFiniteAreRefused) {
  std::mt19937 random(9);
  for (uint16_t d : {0x7c00, 0xfc00, 0x7e00, 0x7fff}) {
    std::vector<std::byte> all = random_block(GetParam(), 0x3c00, random);
    auto block = random_block(GetParam(), d, random);
    all.insert(all.end(), block.begin(), block.end());
    try {
      affine_blocks(GetParam(), all);
      FAIL() << d;
    } catch (const std::invalid_argument& error) {
      EXPECT_TRUE(has(error.what(), "block 1 has a scale that is not finite"));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Types,
    GgufBlocks,
    ::testing::Values(
        GgufType::q4_0, GgufType::q4_1, GgufType::q5_0, GgufType::q5_1, GgufType::q8_0),
    [](const auto& info) { return gguf_type_name(info.param); });

TEST(GgufBlocksBounds, ABiasBeyondFloat16IsRefused) {
  std::mt19937 random(10);
  for (auto [type, fits, too_large] :
       {std::tuple{GgufType::q4_0, 0x6fff, 0x7000},
        std::tuple{GgufType::q5_0, 0x6bff, 0x6c00},
        std::tuple{GgufType::q8_0, 0x5fff, 0x6000}}) {
    EXPECT_NO_THROW(affine_blocks(type, random_block(type, fits, random)));
    EXPECT_THROW(
        affine_blocks(type, random_block(type, too_large, random)),
        std::invalid_argument);
  }
}

TEST(GgufBlocksBack, WhatNoTypeHoldsIsNothing) {
  AffineBlocks blocks{8, std::vector<uint32_t>(8, 0x01020304), {0x3c00}, {0xd800}};
  EXPECT_EQ(gguf_blocks(blocks)->type, GgufType::q8_0);  // 1 and -128
  blocks.biases[0] = 0xd7ff;
  EXPECT_FALSE(gguf_blocks(blocks));
  AffineBlocks four{4, std::vector<uint32_t>(4, 0x01020304), {0x3c00}, {0xc800}};
  EXPECT_EQ(gguf_blocks(four)->type, GgufType::q4_0);  // 1 and -8
  four.biases[0] = 0xc801;
  EXPECT_EQ(gguf_blocks(four)->type, GgufType::q4_1);
  four.biases[0] = 0x7c00;
  EXPECT_FALSE(gguf_blocks(four));
  AffineBlocks six{6, std::vector<uint32_t>(6), {0x3c00}, {0}};
  EXPECT_FALSE(gguf_blocks(six));
}

TEST(GgufRows, UnpermutingUndoesLlamasOrder) {
  // llama.cpp's convert: rows [heads, 2, half] -> [heads, half, 2].
  constexpr int kHeads = 3, kHalf = 4, kRows = kHeads * 2 * kHalf, kRowBytes = 5;
  std::vector<std::byte> permuted(kRows * kRowBytes);
  for (int head = 0; head < kHeads; ++head) {
    for (int j = 0; j < 2; ++j) {
      for (int i = 0; i < kHalf; ++i) {
        int original = (head * 2 + j) * kHalf + i;
        int stored = (head * kHalf + i) * 2 + j;
        std::memset(&permuted[stored * kRowBytes], original, kRowBytes);
      }
    }
  }
  auto rows = unpermuted_rows(permuted, kRows, kHeads);
  for (int i = 0; i < kRows * kRowBytes; ++i) {
    EXPECT_EQ(std::to_integer<int>(rows[i]), i / kRowBytes);
  }
  EXPECT_EQ(permuted_rows(rows, kRows, kHeads), permuted);
}

}  // namespace
}  // namespace pupil
