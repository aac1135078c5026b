// Where a completion ends, and what its text is, for characters of several tokens.

#include "rollout/row.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "support/files.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace pupil {
namespace {

namespace fs = std::filesystem;

// Tokens of one byte, as a byte-level vocabulary writes them: C3 A9 is an e with an
// acute accent, E2 82 AC the sign of the euro.
constexpr int kC3 = 48, kA9 = 49, kE2 = 50, k82 = 51, kAC = 52;
constexpr int kA = 5, kB = 6, kX = 28;

class RowText : public ::testing::Test {
 protected:
  // Of the row with these tokens, which are to end it.
  Completion ended_by(const std::vector<int>& tokens) {
    Row row(model_, stop, min_tokens, 20, 0, 0, 0);
    for (size_t i = 0; i < tokens.size(); ++i) {
      EXPECT_FALSE(row.done()) << "token " << i;
      row.push(tokens[i], 0.0f);
    }
    EXPECT_TRUE(row.done());
    row.finish();
    return row.take();
  }

  std::vector<std::string> stop = {"x"};
  int min_tokens = 0;

 private:
  static Tokenizer byte_tokenizer(const fs::path& folder) {
    fs::copy(fs::path(PUPIL_SOURCE_DIR) / "tests/support/tiny_tokenizer", folder);
    auto path = folder / "tokenizer.json";
    auto json = nlohmann::json::parse(testing::read_text(path));
    auto& vocabulary = json["model"]["vocab"];
    // A byte's character: its own, or from U+0100 on for those that have none.
    vocabulary["\u00c3"] = kC3;
    vocabulary["\u00a9"] = kA9;
    vocabulary["\u00e2"] = kE2;
    vocabulary["\u0124"] = k82;
    vocabulary["\u00ac"] = kAC;
    testing::write_text(path, json.dump());
    return Tokenizer(folder.string());
  }

  testing::TempDir folder_;
  Model model_{
      testing::tiny_decoder(), byte_tokenizer(folder_.path() / "tokenizer"), {1}, ""};
};

TEST_F(RowText, EndsBeforeAStopString) {
  EXPECT_EQ(ended_by({kA, kC3, kA9, kX}).text, "a\u00e9");
}

TEST_F(RowText, EndsBeforeAStopStringBehindACharacterThatTheLeastLengthDivides) {
  min_tokens = 3;
  EXPECT_EQ(ended_by({kA, kC3, kA9, kX}).text, "a\u00e9");
  EXPECT_EQ(ended_by({kX, kE2, k82, kAC, kB, kX}).text, "x\u20acb");
  min_tokens = 4;
  EXPECT_EQ(ended_by({kX, kE2, k82, kAC, kX}).text, "x\u20ac");
}

TEST_F(RowText, KeepsAStopStringBeforeTheLeastLength) {
  min_tokens = 4;
  EXPECT_EQ(ended_by({kX, kC3, kA9, kB, kX}).text, "x\u00e9b");
  EXPECT_EQ(ended_by({kX, kC3, kX, kX}).text, "x\ufffdx");
}

// What stops nothing is not cut off either.
TEST_F(RowText, ADividedCharacterBelongsToTheLeastLength) {
  min_tokens = 3;
  stop = {"\u00e9", "x"};
  EXPECT_EQ(ended_by({kA, kC3, kA9, kX}).text, "a\u00e9");
}

}  // namespace
}  // namespace pupil
