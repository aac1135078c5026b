// What the writer writes, the reader reads back.

#include "formats/gguf_writer.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/temp_dir.h"

namespace pupil {
namespace {

namespace fs = std::filesystem;

std::vector<std::byte> bytes(size_t count, int value) {
  return std::vector<std::byte>(count, static_cast<std::byte>(value));
}

size_t files_in(const fs::path& dir) {
  return std::distance(fs::directory_iterator(dir), fs::directory_iterator());
}

TEST(GgufWriter, TheReaderReadsWhatWasWritten) {
  testing::TempDir folder;
  auto path = (folder.path() / "test.gguf").string();
  {
    GgufWriter writer(path);
    writer.add("a", {3}, GgufType::f32, bytes(12, 1));
    writer.add("b", {2, 64}, GgufType::q4_1, bytes(80, 2));
    writer.add("c", {1, 256}, GgufType::q6_k, bytes(210, 3));
    writer.finish(
        {{"yes", true},
         {"count", uint32_t{7}},
         {"half", 0.5f},
         {"text", std::string("g\xc3\xbcte")},
         {"numbers", std::vector<int32_t>{-1, 2}},
         {"texts", std::vector<std::string>{"x", "", "y z"}}});
  }
  EXPECT_EQ(files_in(folder.path()), 1u);
  GgufFile file(path);
  std::map<std::string, GgufValue> expected = {
      {"yes", int64_t{1}},
      {"count", int64_t{7}},
      {"half", 0.5},
      {"text", std::string("g\xc3\xbcte")},
      {"numbers", std::vector<int64_t>{-1, 2}},
      {"texts", std::vector<std::string>{"x", "", "y z"}}};
  EXPECT_EQ(file.metadata(), expected);
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.tensors()[1].shape, (std::vector<int64_t>{2, 64}));
  EXPECT_EQ(file.tensors()[1].type, GgufType::q4_1);
  EXPECT_EQ(file.read(file.tensors()[0]), bytes(12, 1));
  EXPECT_EQ(file.read(file.tensors()[1]), bytes(80, 2));
  EXPECT_EQ(file.read(file.tensors()[2]), bytes(210, 3));
}

TEST(GgufWriter, WithoutTheEndNothingIsLeftBehind) {
  testing::TempDir folder;
  {
    GgufWriter writer(folder.path() / "test.gguf");
    writer.add("a", {3}, GgufType::f32, bytes(12, 1));
    EXPECT_EQ(files_in(folder.path()), 1u);
  }
  EXPECT_EQ(files_in(folder.path()), 0u);
}

TEST(GgufWriter, DataOfAnotherSizeAreAMistakeOfOurs) {
  testing::TempDir folder;
  GgufWriter writer(folder.path() / "test.gguf");
  EXPECT_THROW(writer.add("a", {3}, GgufType::f32, bytes(13, 1)), std::logic_error);
  EXPECT_THROW(writer.add("a", {33}, GgufType::q8_0, bytes(34, 1)), std::logic_error);
}

}  // namespace
}  // namespace pupil
