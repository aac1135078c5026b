#include "base/table.h"

#include <gtest/gtest.h>

namespace pupil {
namespace {

const Table kTable{
    {"reward", "before", "after"},
    {{"tests", "0.1", "0.42"}, {"caf\xC3\xA9", "1", ""}}};

TEST(Table, AlignsForATerminal) {
  EXPECT_EQ(
      terminal_table(kTable),
      "reward  before  after\n"
      "------  ------  -----\n"
      "tests      0.1   0.42\n"
      "caf\xC3\xA9         1\n");
}

TEST(Table, WritesMarkdown) {
  EXPECT_EQ(
      markdown_table({{"a|b", "n"}, {{"x\ny", "1"}}}),
      "| a\\|b | n |\n"
      "|------|--:|\n"
      "| x y  | 1 |\n");
}

TEST(Table, RejectsARaggedRow) {
  EXPECT_THROW(terminal_table({{"a", "b"}, {{"1"}}}), std::invalid_argument);
}

}  // namespace
}  // namespace pupil
