#include "base/sha256.h"

#include <gtest/gtest.h>

#include "support/files.h"
#include "support/temp_dir.h"

namespace pupil {
namespace {

// FIPS 180-4, appendix of examples.
TEST(Sha256, EqualsThePublishedDigests) {
  EXPECT_EQ(
      sha256_hex(""),
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(
      sha256_hex("abc"),
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(
      sha256_hex(std::string(1000000, 'a')),
      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesEqualTheWhole) {
  EXPECT_EQ(Sha256().bytes("a").bytes("").bytes("bc").hex(), sha256_hex("abc"));
}

// Of no block, of less than one, of whole ones and of more.
TEST(Sha256, AFilesBytesEqualTheText) {
  testing::TempDir dir;
  auto path = dir.path() / "file";
  for (size_t size : {0, 5, 1 << 20, 2 << 20, (2 << 20) + 7}) {
    std::string text(size, 'a');
    testing::write_text(path, text);
    Sha256 digest;
    EXPECT_EQ(digest.file(path), size);
    EXPECT_EQ(digest.hex(), sha256_hex(text));
  }
  for (const auto& bad : {dir.path(), dir.path() / "none"})
    EXPECT_TRUE(
        testing::has(testing::refusal([&] { Sha256().file(bad); }), "cannot read"));
}

TEST(Sha256, FieldsKeepTheirBorders) {
  auto digest = [](std::string_view a, std::string_view b) {
    return Sha256().field(a).field(b).hex();
  };
  EXPECT_NE(digest("ab", "c"), digest("a", "bc"));
  EXPECT_NE(digest("", "abc"), digest("abc", ""));
  EXPECT_NE(Sha256().field(1.0).hex(), Sha256().field(int64_t{1}).hex());
}

}  // namespace
}  // namespace pupil
