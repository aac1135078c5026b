#include "data/jsonl.h"

#include "formats/input_file.h"

#include <gtest/gtest.h>

#include "data/temp_file.h"

namespace pupil {
namespace {

std::string error_of_file(const std::string& content) {
  TempFile file(content);
  return error_of([&] {
    JsonlReader reader(file.path);
    while (reader.next()) {
    }
  });
}

TEST(Jsonl, ReadsObjectsAndSkipsBlankLines) {
  TempFile file("\n{\"a\": 1}\r\n  \t\n{\"a\": 2}");
  JsonlReader reader(file.path);
  EXPECT_EQ(reader.next()->at("a"), 1);
  EXPECT_EQ(reader.line_number(), 2);
  EXPECT_EQ(reader.next()->at("a"), 2);
  EXPECT_EQ(reader.line_number(), 4);
  EXPECT_FALSE(reader.next());
}

TEST(Jsonl, NamesFileAndLineOfWhatItCannotRead) {
  EXPECT_NE(
      error_of_file("{}\n{\"a\":}\n").find(":2] not valid JSON"), std::string::npos);
  EXPECT_NE(
      error_of_file("{}\n\n[1]\n").find(":3] expected a JSON object, got array"),
      std::string::npos);
  EXPECT_NE(error_of_file("{} {}\n").find(":1] not valid JSON"), std::string::npos);
  EXPECT_NE(
      error_of_file("{\"a\": \"\xff\"}").find(":1] not valid UTF-8"),
      std::string::npos);
  EXPECT_NE(
      error_of_file(std::string(3, '\0')).find(":1] not valid"), std::string::npos);
}

TEST(Jsonl, BoundsTheDepthOfALine) {
  auto nested = [](size_t depth) {
    return "{}\n{\"a\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') +
           "}";
  };
  EXPECT_EQ(error_of_file(nested(64)), "");
  for (size_t depth : {65, 100000})
    EXPECT_NE(
        error_of_file(nested(depth)).find(":2] nested deeper than 64"),
        std::string::npos);
}

TEST(Jsonl, BoundsTheLengthOfALine) {
  std::string fits(JsonlReader::kMaxLineBytes, ' ');
  fits[0] = '{', fits[1] = '}';
  EXPECT_EQ(error_of_file(fits + "\n"), "");
  EXPECT_NE(error_of_file(fits + " \n").find(":1] line too long"), std::string::npos);
}

TEST(Jsonl, NamesAFileThatCannotBeOpened) {
  EXPECT_NE(
      error_of([] { JsonlReader("/nowhere/a.jsonl"); }).find("/nowhere/a.jsonl"),
      std::string::npos);
  EXPECT_NE(error_of([] { JsonlReader("/"); }).find("got a folder"), std::string::npos);
}

TEST(Jsonl, KnowsUtf8) {
  for (const char* good :
       {"", "plain", "\u00e9", "\u20ac", "\U0001f600", "\U0010ffff"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
  }
  for (const char* bad :
       {"\x80",
        "\xc0\xaf",
        "\xc1\xbf",
        "\xe0\x80\xaf",
        "\xed\xa0\x80",
        "\xe2\x82",
        "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xc3("}) {
    EXPECT_FALSE(is_utf8(bad)) << bad;
  }
}

}  // namespace
}  // namespace pupil
