// Counts over Python's syntax tree.

#include "text/python_source.h"

#include <gtest/gtest.h>

#include <string>

namespace pupil {
namespace {

TEST(PythonSource, CountsFunctionsDocstringsAndNames) {
  auto facts = analyze_python(
      "def total(allValues, bias=0):\n"
      "    \"\"\"Sum.\"\"\"\n"
      "    s = bias  # start\n"
      "    for value in allValues:\n"
      "        s += value\n"
      "    return s\n"
      "\n"
      "async def nothing():\n"
      "    pass\n");
  EXPECT_TRUE(facts.parses);
  EXPECT_EQ(facts.functions, 2);
  EXPECT_EQ(facts.documented, 1);
  EXPECT_EQ(facts.comments, 1);
  EXPECT_EQ(facts.code_lines, 7);  // a docstring is none
  EXPECT_EQ(facts.names, 3);       // allValues, bias, s
  EXPECT_EQ(facts.short_names, 1);
  EXPECT_EQ(facts.odd_names, 1);
  EXPECT_EQ(facts.nesting, 1);
  EXPECT_EQ(facts.loop_nesting, 1);
  EXPECT_EQ(facts.complexity, 2);
}

TEST(PythonSource, CountsNestingComplexityAndBareExcepts) {
  auto facts = analyze_python(
      "def f(a):\n"
      "    try:\n"
      "        for x in a:\n"
      "            while x:\n"
      "                if x and a or x:\n"
      "                    return [i for i in x]\n"
      "    except:\n"
      "        raise\n");
  EXPECT_EQ(facts.nesting, 4);
  EXPECT_EQ(facts.loop_nesting, 3);  // the comprehension is one
  EXPECT_EQ(facts.bare_excepts, 1);
  EXPECT_GE(facts.complexity, 7);
}

TEST(PythonSource, WhatDoesNotParseCountsAsNothing) {
  for (const char* text :
       {"def f(:\n  pass",
        "Sure, here is the code:",
        "x = = 1",
        "\xff",
        "if True:\nx",
        "def f(a):\n",
        "class A:\n    # nothing\n",
        "for x in y:",
        "x = 1\nwhile x:\n\ny = 2\n"}) {
    auto facts = analyze_python(text);
    EXPECT_FALSE(facts.parses) << text;
    EXPECT_EQ(facts.statements, 0) << text;
    EXPECT_FALSE(parses_as_python(text)) << text;
  }
  EXPECT_TRUE(parses_as_python(""));
  EXPECT_TRUE(
      parses_as_python("match x:\n    case [a, *b]:\n        print(f'{a!r:>{8}}')\n"));
}

TEST(PythonSource, LargeAndDeepTextEnds) {
  EXPECT_FALSE(parses_as_python(std::string(300 << 10, 'a')));  // above 256 KiB
  EXPECT_TRUE(parses_as_python(std::string(200 << 10, 'a')));
  EXPECT_FALSE(parses_as_python(std::string(100'000, '(')));
  std::string deep;
  for (int i = 0; i < 90; ++i) deep += std::string(i, ' ') + "if x:\n";
  EXPECT_EQ(analyze_python(deep + std::string(90, ' ') + "pass\n").nesting, 90);
}

}  // namespace
}  // namespace pupil
