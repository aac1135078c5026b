// Reads inside the file only, of regular files only; UTF-8 by the book.

#include "formats/input_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "support/files.h"
#include "support/temp_dir.h"

namespace pupil {
namespace {

using testing::has;
using testing::refusal;

TEST(InputFile, ReadsInsideTheFileOnly) {
  testing::TempDir folder;
  std::string path = folder.path() / "f";
  testing::write_text(path, "0123456789");
  InputFile file("where", path);
  char bytes[10] = {};
  file.read(3, bytes, 7);
  EXPECT_EQ(std::string(bytes, 7), "3456789");
  file.read(10, bytes, 0);
  for (auto [offset, count] : std::vector<std::pair<uint64_t, size_t>>{
           {4, 7}, {11, 0}, {~uint64_t{0}, 2}, {2, ~size_t{0}}}) {
    auto error = refusal([&, at = offset, n = count] { file.read(at, bytes, n); });
    EXPECT_TRUE(has(error, "[where] " + path + ": truncated"));
  }
}

TEST(InputFile, AFileThatShrankIsAnError) {
  testing::TempDir folder;
  std::string path = folder.path() / "f";
  testing::write_text(path, "0123456789");
  InputFile file("where", path);
  std::filesystem::resize_file(path, 4);
  char bytes[10];
  EXPECT_THROW(file.read(0, bytes, 10), std::runtime_error);
}

TEST(InputFile, WhatIsNoRegularFileIsRefusedAtOnce) {
  testing::TempDir folder;
  std::string fifo = folder.path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  for (const std::string& path : {fifo, folder.path().string(), fifo + "-none"}) {
    EXPECT_TRUE(has(refusal([&] { InputFile file("where", path); }), path));
  }
}

TEST(Utf8, AcceptsWhatIsWellFormedAndNothingElse) {
  for (const char* text :
       {"",
        "abc",
        "\x7f",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_utf8(text)) << text;
  }
  for (const char* text :
       {"\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc2",
        "\xc2x",
        "\xe0\x9f\xbf",
        "\xe0\xa0",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "a\xfe",
        "\xf0\x9f\x99"}) {
    EXPECT_FALSE(is_utf8(text)) << text;
  }
}

}  // namespace
}  // namespace pupil
