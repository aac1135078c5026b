#include "data/python_calls.h"

#include <gtest/gtest.h>

namespace pupil {
namespace {

std::vector<std::string> names_of(std::string_view source) {
  std::vector<std::string> names;
  for (const auto& call : python_calls(source)) names.push_back(call.name);
  return names;
}

using Names = std::vector<std::string>;

TEST(PythonCalls, FindsCallsOfPlainNames) {
  EXPECT_EQ(names_of("assert f(1) == 2"), Names{"f"});
  EXPECT_EQ(names_of("assert not f(g(1), math.floor(2))"), (Names{"f", "g"}));
  EXPECT_EQ(names_of("assert (f (1)) in (2, 3)"), Names{"f"});
  EXPECT_EQ(names_of("def f(x):\n  return g(x)\nclass A(B): pass"), Names{"g"});
}

TEST(PythonCalls, LooksIntoNoStringAndNoComment) {
  EXPECT_EQ(names_of("f('g(1)', \"h\\\"(2)\") # i(3)\nj()"), (Names{"f", "j"}));
  EXPECT_EQ(names_of("'''g(1)\n'h(2)''' + f(1)"), Names{"f"});
}

TEST(PythonCalls, KeepsTheCallAsWritten) {
  EXPECT_EQ(
      python_calls("assert f([1, (2)], ')') == 3").at(0).text, "f([1, (2)], ')')");
  EXPECT_EQ(python_calls("f(1, 2").at(0).text, "f(1, 2");
}

TEST(PythonCalls, KnowsNamesKeywordsAndBuiltins) {
  EXPECT_TRUE(is_python_name("_a1"));
  for (const char* bad : {"", "1a", "a b", "a.b", "lambda", "None", "a-b"}) {
    EXPECT_FALSE(is_python_name(bad)) << bad;
  }
  EXPECT_TRUE(is_python_builtin("zip"));
  EXPECT_FALSE(is_python_builtin("unzip"));
}

TEST(PythonCalls, ListsDefinedFunctions) {
  EXPECT_EQ(
      python_functions("def a(x): pass\n# def b(): 1\nasync def c(): pass"),
      (Names{"a", "c"}));
}

}  // namespace
}  // namespace pupil
