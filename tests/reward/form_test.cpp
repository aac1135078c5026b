// The two rewards that only look at an answer: format and rubric.

#include <gtest/gtest.h>

#include "reward/format_reward.h"
#include "reward/reward_support.h"
#include "reward/rubric.h"

namespace pupil {
namespace {

double format_of(const std::string& answer) {
  const Task task = make_task("f", {"assert f(1) == 1"});
  return format_score(task, make_completion(answer)).value.value();
}

TEST(Format, ItsTable) {
  const std::string good = "def f(x):\n    return x";
  EXPECT_EQ(format_of(fenced(good)), 1.0);
  EXPECT_EQ(format_of("Here:\n" + fenced(good) + "\nDone."), 1.0);
  EXPECT_EQ(format_of(fenced(good) + "\n" + fenced("print(f(1))")), 0.7);
  EXPECT_EQ(format_of("```python\n" + good), 0.7);
  EXPECT_EQ(format_of(fenced("def g(x):\n    return x")), 0.5);
  EXPECT_EQ(format_of(good), 0.3);
  EXPECT_EQ(format_of(fenced("def f(x:\n  return")), 0.2);
  EXPECT_EQ(format_of("x = 1"), 0.0);
  EXPECT_EQ(format_of("I would write a function."), 0.0);
  EXPECT_EQ(format_of("```bash\nls\n```"), 0.0);
  EXPECT_EQ(format_of(""), 0.0);
}

double rubric_of(const std::string& answer) {
  const Task task = make_task("f", {"assert f(1) == 1"});
  const Completion completion = make_completion(answer);
  const Sample sample{&task, &completion};
  return rubric_reward()({&sample, 1})[0].value.value();
}

TEST(Rubric, BetterCodeScoresHigher) {
  const double best = rubric_of(fenced(
      "def f(numbers):\n    \"\"\"Return the sum.\"\"\"\n    return sum(numbers)"));
  const double undocumented =
      rubric_of(fenced("def f(numbers):\n    return sum(numbers)"));
  const double other_name =
      rubric_of(fenced("def g(numbers):\n    return sum(numbers)"));
  const double deep = rubric_of(fenced(
      "def f(a):\n    for b in a:\n        for c in a:\n            for d in a:\n"
      "                for e in a:\n                    if a:\n"
      "                        if b:\n                            return 1"));
  EXPECT_DOUBLE_EQ(best, 1.0);
  EXPECT_DOUBLE_EQ(undocumented, 0.8);
  EXPECT_DOUBLE_EQ(other_name, 0.65);
  EXPECT_LT(deep, undocumented);
  EXPECT_GT(deep, 0.0);
}

TEST(Rubric, DegenerateAnswersAreWorthNothing) {
  for (const std::string code :
       {"",
        "pass",
        "x = 1",
        "def f(x): pass",
        "def f(x): ...",
        "def f(x):\n    'doc'",
        "def f(x:\n  return",
        "# only a comment"}) {
    EXPECT_EQ(rubric_of(fenced(code)), 0.0) << code;
  }
  EXPECT_EQ(rubric_of("no code at all here, sorry"), 0.0);
}

TEST(Rubric, Pairs) {
  std::string longer = "def f(x):\n";
  for (int i = 0; i < 60; ++i) longer += "    x = x\n";
  const std::pair<std::string, std::string> better_first[] = {
      // a docstring, a comment
      {"def f(x):\n    'Doubles.'\n    return 2 * x", "def f(x):\n    return 2 * x"},
      {"def f(x):\n    # twice\n    return 2 * x", "def f(x):\n    return 2 * x"},
      // the right name
      {"def f(x):\n    return x", "def h(x):\n    return x"},
      // names
      {"def f(total):\n    return total", "def f(t):\n    return t"},
      {"def f(a):\n    b = a\n    return b",
       "def f(aBc):\n    dEf = aBc\n    return dEf"},
      // a comprehension, four loops
      {"def f(x):\n    return [a for a in x]",
       "def f(x):\n    for a in x:\n        for b in x:\n            for c in x:\n"
       "                for d in x: return d"},
      // no bare except
      {"def f(x):\n    try:\n        return 1 / x\n    except ZeroDivisionError:\n"
       "        return 0",
       "def f(x):\n    try:\n        return 1 / x\n    except:\n        return 0"},
      {"def f(x):\n    return x", longer + "    return x"},
      // anything, code that does not parse
      {"def f(x):\n    return x", "def f(x):\n    return (x"}};
  for (const auto& [better, worse] : better_first) {
    EXPECT_GT(rubric_of(fenced(better)), rubric_of(fenced(worse))) << worse;
  }
}

std::string repeated(const std::string& text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

TEST(Form, HostileTextHasAScoreToo) {
  const std::string head = "def f(x):\n    return ";
  std::string deep = "def f(x):\n";
  for (int i = 1; i < 300; ++i) deep += std::string(i, ' ') + "if x:\n";
  for (const std::string& code :
       {repeated("(", 5000),
        head + repeated("(", 5000) + "1" + repeated(")", 5000),
        head + repeated("[", 5000) + repeated("]", 5000),
        head + repeated("-", 5000) + "x",
        head + "x" + repeated(".a", 2000),
        head + "'" + repeated("a", 300000) + "'",
        head + repeated("'", 3) + repeated("a\n", 5000),
        deep + std::string(300, ' ') + "return 1",
        repeated("def f(x):", 500),
        repeated("`~ \t\r", 500),
        head + std::string("1\0", 2),
        std::string(1000, '\0'),
        head + "'\xff\xfe\x80'",
        head + "'\xed\xa0\x80'",
        std::string("\xef\xbb\xbf") + head + "1"}) {
    for (const auto& answer : {fenced(code), code}) {
      for (const double score : {format_of(answer), rubric_of(answer)}) {
        EXPECT_GE(score, 0.0) << code.substr(0, 40);
        EXPECT_LE(score, 1.0) << code.substr(0, 40);
      }
    }
  }
  EXPECT_EQ(rubric_of(fenced(head + "'\xff'")), 0.0);
  EXPECT_LE(format_of(repeated("```python\n", 5000)), 0.2);
}

TEST(Rubric, TheFormula) {
  PythonFacts facts{.parses = true, .functions = 2, .documented = 1, .statements = 3};
  facts.names = 4;
  facts.short_names = 2;
  facts.odd_names = 1;
  facts.nesting = 4;
  facts.complexity = 15;
  facts.bare_excepts = 1;
  facts.loop_nesting = 3;
  facts.code_lines = 80;
  const auto scores = rubric_scores(facts, true);
  EXPECT_DOUBLE_EQ(scores.correctness, 1.0);
  EXPECT_NEAR(scores.quality, 0.4 * 0.25 + 0.3 * 2 / 3 + 0.3 * 0.5 - 0.2, 1e-12);
  EXPECT_DOUBLE_EQ(scores.efficiency, 0.7 * 0.5 + 0.3 * 0.5);
  EXPECT_DOUBLE_EQ(scores.documentation, 0.6);
}

}  // namespace
}  // namespace pupil
