#include "base/quote.h"

#include <gtest/gtest.h>

namespace pupil {

TEST(Quote, KeepsPlainText) {
  EXPECT_EQ(in_quotes("top_p"), "'top_p'");
}

TEST(Quote, EscapesWhatWouldBreakTheLineOrTheTerminal) {
  EXPECT_EQ(in_quotes("a\nb\t\x1b[31m"), "'a\\nb\\t\\x1b[31m'");
}

TEST(Quote, CutsLongTextBetweenCharacters) {
  EXPECT_EQ(in_quotes("abcdef", 3), "'abc...'");
  EXPECT_EQ(in_quotes("ab\xC3\xA9z", 3), "'ab...'");
  EXPECT_EQ(in_quotes("\x80\x80\x80", 1), "'...'");
}

}  // namespace pupil
