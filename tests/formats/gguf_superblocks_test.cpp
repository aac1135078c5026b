// Blocks of GGUF beside the gguf package's dequantize (tests/golden/gguf_blocks.json,
// made by tools/make_gguf_golden.py), and super-blocks that are wrong.

#include "formats/gguf_superblocks.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "base/json.h"
#include "support/files.h"
#include "support/gguf_reference.h"

namespace pupil {
namespace {

using testing::has;

std::vector<std::byte> from_hex(const std::string& text) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

struct Golden {
  std::vector<std::byte> blocks;
  std::vector<float> weights;
};

Golden golden_of(GgufType type) {
  auto all =
      read_json_file(std::string(PUPIL_SOURCE_DIR) + "/tests/golden/gguf_blocks.json");
  const auto& row = all.at(gguf_type_name(type));
  Golden golden{from_hex(row["blocks"]), {}};
  auto weights = from_hex(row["weights"]);
  golden.weights.resize(weights.size() / sizeof(float));
  std::memcpy(golden.weights.data(), weights.data(), weights.size());
  return golden;
}

void expect_same(const std::vector<float>& found, const std::vector<float>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], expected[i]) << i;
}

std::vector<float> unpacked(GgufType type, std::span<const std::byte> blocks) {
  std::vector<float> weights(blocks.size() / gguf_layout(type).block_bytes * 256);
  unpack_superblocks(type, blocks, weights);
  return weights;
}

class GgufSuperblocks : public ::testing::TestWithParam<GgufType> {
 protected:
  std::vector<std::byte> blocks_ = golden_of(GetParam()).blocks;
  size_t block_bytes_ = gguf_layout(GetParam()).block_bytes;

  // Of the scale d in block `block`.
  size_t place_of_d(size_t block) const {
    return block * block_bytes_ + (GetParam() == GgufType::q6_k ? 208 : 0);
  }
  std::string error_with(size_t at, uint16_t half) const {
    auto blocks = blocks_;
    std::memcpy(&blocks[at], &half, sizeof(half));
    try {
      unpacked(GetParam(), blocks);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  }
};

TEST_P(GgufSuperblocks, WeightsAreGgmls) {
  auto golden = golden_of(GetParam());
  EXPECT_EQ(golden.weights.size(), 4u * 256u);
  expect_same(unpacked(GetParam(), golden.blocks), golden.weights);
}

TEST_P(GgufSuperblocks, ScalesThatAreNotFiniteAreRefused) {
  for (uint16_t half : {0x7c00, 0xfc00, 0x7e01}) {
    EXPECT_TRUE(
        has(error_with(place_of_d(2), half), "block 2 has a scale that is not finite"));
  }
  if (GetParam() == GgufType::q6_k) return;  // which has no dmin
  EXPECT_TRUE(has(
      error_with(place_of_d(1) + 2, 0x7c00), "block 1 has a scale that is not finite"));
}

TEST_P(GgufSuperblocks, WeightsBeyondFloat16AreRefused) {
  EXPECT_TRUE(
      has(error_with(place_of_d(3), 0x7bff), "block 3 has a weight beyond float16"));
}

INSTANTIATE_TEST_SUITE_P(
    Types,
    GgufSuperblocks,
    ::testing::Values(GgufType::q4_k, GgufType::q5_k, GgufType::q6_k),
    [](const auto& info) { return gguf_type_name(info.param); });

// What the tests of affine blocks compare with.
TEST(GgufReference, WeightsAreGgmls) {
  for (auto type :
       {GgufType::q4_0,
        GgufType::q4_1,
        GgufType::q5_0,
        GgufType::q5_1,
        GgufType::q8_0}) {
    auto golden = golden_of(type);
    expect_same(testing::gguf_weights(type, golden.blocks), golden.weights);
  }
}

}  // namespace
}  // namespace pupil
