#include "reward/answer.h"

#include <gtest/gtest.h>

namespace pupil {
namespace {

TEST(Answer, BlocksWithLanguageAndEnd) {
  const auto blocks = fenced_blocks(
      "Text\n```Python title=x\na = 1\n```\nmore\n~~~\n```\nb\n~~~\n   ````\nc\n```\n");
  ASSERT_EQ(blocks.size(), 3u);
  EXPECT_EQ(blocks[0].language, "python");
  EXPECT_EQ(blocks[0].code, "a = 1\n");
  EXPECT_TRUE(blocks[0].closed);
  EXPECT_EQ(blocks[1].code, "```\nb\n");
  EXPECT_EQ(blocks[2].code, "c\n```\n");
  EXPECT_FALSE(blocks[2].closed);
}

TEST(Answer, InlineCodeIsNoFence) {
  EXPECT_TRUE(fenced_blocks("use ``` here\n```x``` too\n    ```\n").empty());
}

TEST(Answer, AnyWayToMarkPython) {
  const std::string code = "def f():\n    return 1\n";
  for (const std::string mark :
       {"```",
        "```python",
        "``` Python",
        "```py",
        "```python3",
        "```python:a.py",
        "```python {.x}",
        "```{.python}",
        "```python\r",
        "~~~",
        "~~~~python"}) {
    const std::string fence = mark.substr(0, mark.find_last_of("`~") + 1);
    EXPECT_EQ(code_of_answer(mark + "\n" + code + fence, "f"), code) << mark;
    EXPECT_EQ(code_of_answer("Sure:\n" + mark + "\n" + code, "f"), code) << mark;
  }
  for (const std::string mark : {"```pycon", "```c++", "```text", "```pythonic"}) {
    EXPECT_EQ(code_of_answer(mark + "\n" + code + "```", "f"), "") << mark;
  }
}

TEST(Answer, TheIndentOfAFenceIsTakenOffItsLines) {
  EXPECT_EQ(
      code_of_answer(
          "1. So:\n   ```python\n   def f():\n       return 1\n\n  # end\n   ```\n",
          "f"),
      "def f():\n    return 1\n\n# end\n");
}

TEST(Answer, ATruncatedBlockStaysAsItIs) {
  const std::string half = "def f(x):\n    return (x +";
  EXPECT_EQ(code_of_answer("```python\n" + half, "f"), half + "\n");
  EXPECT_EQ(code_of_answer(half, "f"), "");
  EXPECT_EQ(code_of_answer("```pyth", "f"), "");
}

TEST(Answer, TheBlockThatDefinesTheEntryPoint) {
  const std::string answer =
      "```python\ndef helper(x):\n    return x * 1000 + 12345\n```\n"
      "```bash\npip install x\n```\n```\ndef f(x):\n    return x\n```\n"
      "```python\ndef f(x):\n    return 'second'\n```\n";
  EXPECT_EQ(code_of_answer(answer, "f"), "def f(x):\n    return x\n");
}

TEST(Answer, ElseTheLongestThatParses) {
  const std::string answer =
      "```\nx = 1\n```\n```python\ndef long(x):\n    return x\n```\n"
      "```python\ndef broken(:\n  something much longer than the others is here\n```\n";
  EXPECT_EQ(code_of_answer(answer, ""), "def long(x):\n    return x\n");
  EXPECT_EQ(code_of_answer(answer, "f"), "def long(x):\n    return x\n");
}

TEST(Answer, AnOpenBlockCounts) {
  EXPECT_EQ(
      code_of_answer("```python\ndef f():\n    return 1", "f"),
      "def f():\n    return 1\n");
}

TEST(Answer, TheWholeAnswerIfItParses) {
  EXPECT_EQ(
      code_of_answer("def f():\n    return 1\n", "f"), "def f():\n    return 1\n");
  EXPECT_EQ(code_of_answer("Sure! Here is how you do it.", "f"), "");
}

TEST(Answer, None) {
  EXPECT_EQ(code_of_answer("", "f"), "");
  EXPECT_EQ(code_of_answer("  \n", "f"), "");
  EXPECT_EQ(code_of_answer("```python\n```", "f"), "");
  EXPECT_EQ(code_of_answer("```bash\nls\n```", "f"), "");
}

TEST(Answer, Defines) {
  EXPECT_TRUE(defines("import x\nasync def f(a):\n  pass", "f"));
  EXPECT_TRUE(defines("class f:\n  pass", "f"));
  EXPECT_FALSE(defines("def ff(a):\n  pass\n  def f(): pass", "f"));
  EXPECT_FALSE(defines("f(1)\ndefine f", "f"));
}

}  // namespace
}  // namespace pupil
