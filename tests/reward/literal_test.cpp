#include "reward/literal.h"

#include <gtest/gtest.h>

#include <cmath>

#include "reward/reward_support.h"
#include "reward/test_cases.h"

namespace pupil {
namespace {

Value literal(const std::string& text) {
  std::string_view rest = text;
  auto value = read_literal(rest);
  EXPECT_TRUE(value && rest.empty()) << text;
  return value.value_or(Value{.kind = Value::Kind::other});
}

TEST(Literal, EqualAsInPython) {
  const std::pair<const char*, const char*> pairs[] = {
      {"1", "1.0"},
      {"1", "True"},
      {"0.0", "False"},
      {"-0.0", "0"},
      {"1", "(1)"},
      {"1+0j", "1"},
      {"0xff", "255"},
      {"0b101", "5"},
      {"0o17", "15"},
      {"1_000", "1000"},
      {"1e3", "1000"},
      {".5", "0.5"},
      {"1.", "1"},
      {"--1", "1"},
      {"+1", "1"},
      {"1e16", "10000000000000000"},
      {"2.0", "2"},
      {"-7.0", "-7"},
      {"1.5e-3", "0.0015"},
      {"1e22", "10000000000000000000000"},
      {"9007199254740992.0", "9007199254740992"},
      {"'a' 'b'", "'ab'"},
      {"\"a\"", "'a'"},
      {"'''a\nb'''", "'a\\nb'"},
      {"'\\x41\\u0042\\103'", "'ABC'"},
      {"r'\\n'", "'\\\\n'"},
      {"'\\d'", "'\\\\d'"},
      {"u'x'", "'x'"},
      {"b'a'", "b'\\x61'"},
      {"rb'\\x'", "b'\\\\x'"},
      {"'\xc3\xa9'", "'\\xe9'"},
      {"'\\U0001F600'", "'\xf0\x9f\x98\x80'"},
      {"[1, 2]", "[1.0, 2,]"},
      {"(1,)", "(True,)"},
      {"()", "( )"},
      {"[]", "[ # x\n]"},
      {"{1, 2, 3}", "{3, 2, 1, 1.0}"},
      {"set()", "set()"},
      {"{}", "{ }"},
      {"{'a': 1, 'b': [2]}", "{'b': [2.0], 'a': True}"},
      {"{1: 'a', True: 'b'}", "{1: 'b'}"},
      {"{(1, 2): {3}}", "{(1.0, 2.0): {3.0}}"},
      {"None", "None"},
      {"1 - 2j", "1.0-2.0j"},
      {"\\\n1", "1"}};
  for (const auto& [a, b] : pairs) {
    EXPECT_TRUE(python_equal(literal(a), literal(b))) << a << " and " << b;
  }
}

TEST(Literal, UnequalAsInPython) {
  const std::pair<const char*, const char*> pairs[] = {
      {"[1]", "(1,)"},
      {"1", "'1'"},
      {"'a'", "b'a'"},
      {"None", "False"},
      {"None", "0"},
      {"[]", "()"},
      {"{}", "set()"},
      {"[1, 2]", "[2, 1]"},
      {"''", "None"},
      {"9007199254740993", "9007199254740992.0"},
      {"0.1", "1"},
      {"1e400", "-1e400"},
      {"{1: 2}", "{1: 3}"},
      {"{1}", "{1, 2}"},
      {"'ab'", "'a'"},
      {"[[1], 2]", "[1, [2]]"},
      {"1e400-1e400j", "1"},
      {"1j", "1"},
      {"10000000000000001", "1e16"},
      {"['a', 'b']", "['ab']"},
      {"-1", "1"}};
  for (const auto& [a, b] : pairs) {
    EXPECT_FALSE(python_equal(literal(a), literal(b))) << a << " and " << b;
  }
  const Value nan{.kind = Value::Kind::real, .real = std::nan("")};
  EXPECT_FALSE(python_equal(nan, nan));
  const Value object{.kind = Value::Kind::other};
  EXPECT_FALSE(python_equal(object, object));
}

TEST(Literal, WhatIsNone) {
  for (const std::string text :
       {"",
        "f(1)",
        "x",
        "1 +",
        "[1",
        "[1 2]",
        "{1: 2, 3}",
        "{1, 2: 3}",
        "'abc",
        "f'x'",
        "b'\xc3\xa9'",
        "'\\N{DASH}'",
        "'a' b'b'",
        "12abc",
        "0x",
        "1__0",
        "1_",
        "07",
        "-'a'",
        "'\\x4'",
        "None_",
        "lambda: 1",
        "[,]",
        "(,)",
        "1 if 2 else 3 3",
        "0b2"}) {
    std::string_view rest = text;
    EXPECT_FALSE(read_literal(rest) && rest.empty()) << text;
  }
}

TEST(Literal, DepthAndSizeAreBounded) {
  std::string_view deep_view, digits_view;
  const std::string deep(100000, '['), digits(5000, '9');
  deep_view = deep;
  digits_view = digits;
  EXPECT_FALSE(read_literal(deep_view));
  EXPECT_FALSE(read_literal(digits_view));
  const std::string large(4000, '9');
  EXPECT_TRUE(python_equal(literal(large), literal(large)));
}

std::optional<Value> decoded(const std::string& bytes) {
  std::string_view rest = bytes;
  auto value = decode_value(rest);
  return rest.empty() ? value : std::nullopt;
}

TEST(Literal, EncodedValues) {
  const std::pair<const char*, const char*> pairs[] = {
      {"N", "None"},
      {"T", "True"},
      {"i-ff;", "-255"},
      {"f0x1.8p+0;", "1.5"},
      {"c0x1p+0;-0x1p+1;", "1-2j"},
      {"s2:\xc3\xa9", "'\\xe9'"},
      {"b1:a", "b'a'"},
      {"l2:i1;l0:", "[1, []]"},
      {"t1:N", "(None,)"},
      {"S2:i2;i1;", "{1, 2}"},
      {"d1:s1:ai1;", "{'a': 1}"}};
  for (const auto& [bytes, text] : pairs) {
    const auto value = decoded(bytes);
    ASSERT_TRUE(value) << bytes;
    EXPECT_TRUE(python_equal(*value, literal(text))) << bytes;
  }
}

TEST(Literal, BrokenEncodingsAreRefused) {
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "l1:";
  for (const std::string& bytes :
       {std::string(""),
        std::string("i"),
        std::string("i;"),
        std::string("i01;"),
        std::string("iXY;"),
        std::string("f;"),
        std::string("fx;"),
        std::string("s5:ab"),
        std::string("s-1:"),
        std::string("s99999999999999999999:"),
        std::string("l3:N"),
        std::string("l1000000000:N"),
        std::string("d1:N"),
        std::string("z"),
        std::string("NN"),
        deep}) {
    EXPECT_FALSE(decoded(bytes)) << bytes.substr(0, 40);
  }
}

TEST(Literal, PreviewsAreOneLineOfValidText) {
  EXPECT_EQ(
      preview(literal("[1, (2.5, 'a'), {'k': None}, b'x']")),
      "[1, (2.5, 'a'), {'k': None}, b'x']");
  EXPECT_EQ(preview(literal("'a\\n\\x1b[31m'")), "'a\\n\\x1b[31m'");
  EXPECT_EQ(preview(literal("'ab\\xe9'"), 3), "'ab...'");
  EXPECT_EQ(preview(literal("[1, 2, 3]"), 3), "[1, ...]");
  EXPECT_EQ(preview(literal("-0x1234567890abcdef")), "-0x1234567890abcdef");
}

TEST(TestCases, LiteralAssertsAreSplit) {
  const auto test = as_literal_test(
      "assert f([1, 2], {'a': (3,)}, key=-1.5) == [1, None], 'a message'");
  ASSERT_TRUE(test);
  EXPECT_EQ(test->call, "f([1, 2], {'a': (3,)}, key=-1.5)");
  EXPECT_TRUE(python_equal(test->expected, literal("[1, None]")));
  for (const char* text :
       {"assert f()==0",
        "assert f(1) == 2  # why",
        "assert f(\n1,\n) == 2\n",
        "assert f(1) == (\n 2)",
        "  assert f(1) == 2, f(1)"}) {
    EXPECT_TRUE(as_literal_test(text)) << text;
  }
}

TEST(TestCases, OtherTestsAreLeftWhole) {
  for (const char* text :
       {"assert f(1)",
        "assert not f(1)",
        "assert f(g(1)) == 2",
        "assert f(x) == 2",
        "assert f(1) == g(2)",
        "assert f(1) == 2 or True",
        "assert f(1) == 2\nimport os",
        "assert f(1) == 2; f(3)",
        "assert a.f(1) == 2",
        "assert f(1)[0] == 2",
        "assertf(1) == 2",
        "assert f(1) == 2 == 2",
        "assert f(*[1]) == 2",
        "x = 1",
        "assert f(1) != 2",
        "assert (f(1) == 2)",
        "assert f(1) == 2, 'a'; f()"}) {
    EXPECT_FALSE(as_literal_test(text)) << text;
  }
}

TEST(TestCases, EntryPoint) {
  EXPECT_EQ(entry_point_of(make_task("g", {"assert f(1) == 2"})), "g");
  EXPECT_EQ(entry_point_of(make_task("", {"assert True", "assert f(1) == 2"})), "f");
  EXPECT_EQ(entry_point_of(make_task("", {"assert True"})), "");
}

}  // namespace
}  // namespace pupil
