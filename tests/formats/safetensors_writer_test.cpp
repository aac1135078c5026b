// What is written passes our own strict reader and comes back.

#include "formats/safetensors_writer.h"

#include <gtest/gtest.h>
#include <mlx/mlx.h>

#include "formats/safetensors.h"
#include "support/files.h"
#include "support/temp_dir.h"

namespace pupil {
namespace {

namespace mx = mlx::core;

class SafetensorsFile : public ::testing::Test {
 protected:
  std::string path() const { return folder_.path() / "out.safetensors"; }

 private:
  testing::TempDir folder_;
};

TEST_F(SafetensorsFile, TensorsAndMetadataComeBack) {
  std::vector<float> floats = {1, -2, 3.5f, 4, 5, 6};
  std::vector<uint32_t> words = {7, 8, 0xffffffff};
  SafetensorsWriter file(
      path(),
      {{"z.last", "F32", {2, 3}, 24},
       {"a \"quoted\" é", "U32", {3}, 12},
       {"no", "F16", {0}, 0}},
      {{"format", "mlx"}});
  file.append(floats.data(), 10);  // in pieces
  file.append(reinterpret_cast<const char*>(floats.data()) + 10, 14);
  file.append(words.data(), 12);
  file.finish();
  auto header = read_safetensors_header(path());
  EXPECT_EQ(header.data_begin % 8, 0u);
  ASSERT_EQ(header.tensors.size(), 3u);
  EXPECT_EQ(header.metadata.at("format"), "mlx");
  auto [tensors, metadata] = mx::load_safetensors(path());
  auto expected = mx::array(floats.data(), {2, 3}, mx::float32);
  EXPECT_TRUE(mx::array_equal(tensors.at("z.last"), expected).item<bool>());
  expected = mx::array(words.data(), {3}, mx::uint32);
  EXPECT_TRUE(mx::array_equal(tensors.at("a \"quoted\" é"), expected).item<bool>());
}

TEST_F(SafetensorsFile, TensorsThatBecomeKnownOneByOneComeBack) {
  std::vector<float> floats = {1, -2, 3.5f, 4};
  SafetensorsWriter file(path(), 300, {});
  for (int i = 0; i < 3; ++i) {
    file.add({"t" + std::to_string(i), "F32", {1, 4}, 16});
    file.append(floats.data(), 16);
  }
  file.finish();
  auto header = read_safetensors_header(path());
  EXPECT_EQ(header.data_begin, 8u + 304);  // of which blanks fill the rest
  ASSERT_EQ(header.tensors.size(), 3u);
  auto [tensors, metadata] = mx::load_safetensors(path());
  auto expected = mx::array(floats.data(), {1, 4}, mx::float32);
  for (const auto& [name, tensor] : tensors)
    EXPECT_TRUE(mx::array_equal(tensor, expected).item<bool>()) << name;
}

TEST_F(SafetensorsFile, WhatACrashLeftUnderTheNameIsDropped) {
  testing::write_text(path(), std::string(4000, 'x'));
  std::vector<float> floats = {1, 2};
  SafetensorsWriter file(path(), {{"a", "F32", {2}, 8}}, {});
  file.append(floats.data(), 8);
  file.finish();
  EXPECT_LT(std::filesystem::file_size(path()), 200u);
  auto read = mx::load_safetensors(path()).first.at("a");
  EXPECT_TRUE(mx::array_equal(read, mx::array({1.0f, 2.0f})).item<bool>());
}

TEST_F(SafetensorsFile, AHeaderThatDoesNotFitIntoItsRoomIsOurBug) {
  SafetensorsWriter file(path(), 40, {});
  file.add({"a name", "U8", {4}, 4});
  file.append("1234", 4);
  EXPECT_THROW(file.finish(), std::logic_error);
}

TEST_F(SafetensorsFile, AnIncompleteFileIsOurBug) {
  for (size_t bytes : {3, 5}) {
    std::filesystem::remove(path());
    SafetensorsWriter file(path(), {{"a", "U8", {4}, 4}}, {});
    file.append("12345", bytes);
    EXPECT_THROW(file.finish(), std::logic_error) << bytes;
  }
}

TEST_F(SafetensorsFile, AFullDiskIsAnErrorThatNamesTheFile) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  try {
    SafetensorsWriter file("/dev/full", {{"a", "U8", {4}, 4}}, {});
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_TRUE(testing::has(error.what(), "/dev/full"));
  }
}

}  // namespace
}  // namespace pupil
