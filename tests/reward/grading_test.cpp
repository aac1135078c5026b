// What the student's box can see of the tests, and which values count as equal.

#include "reward/grading.h"

#include <gtest/gtest.h>

#include "reward/reward_support.h"
#include "reward/sandbox_boundary.h"

namespace pupil {
namespace {

Grade graded(
    const Sandbox& sandbox,
    const std::string& code,
    const std::vector<std::string>& tests) {
  return grade(
      sandbox,
      {.code = code,
       .entry_point = "f",
       .setup = "",
       .tests = split_tests(tests),
       .order_key = 1});
}

// Looks for 48153729 and for the message of the test wherever a program can look, and
// returns where it found them. It spells neither itself.
constexpr const char* kSpy = R"(
import gc, os, sys
def f(x):
    secret = ''.join(reversed('92735184'))
    spelled = [secret, '%x' % int(secret), 'message-'.upper() + 'of-it'.upper()]
    found = []
    def see(where, text):
        if isinstance(text, bytes): text = text.decode('latin-1')
        found.extend(where for word in spelled if word in text)
    def read(path):
        try:
            with open(path, 'rb') as file: see(path, file.read(100000))
        except OSError: pass
    see('arguments', repr(sys.argv) + repr(getattr(sys, 'orig_argv', '')))
    see('environment', repr(os.environ))
    frame = sys._getframe().f_back
    while frame:
        see('frame', repr(frame.f_locals) + repr(frame.f_globals))
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, (list, tuple, dict, set)) and thing is not spelled:
            text = repr(thing)[:20000] if len(thing) < 200 else ''
            if "'spelled'" not in text: see('memory', text)
    for fd in range(64):
        try: see('descriptor', os.pread(fd, 1 << 16, 0))
        except OSError: pass
    for base in ('/proc/self', '/proc/1', '/proc/%d' % os.getppid()):
        for name in ('environ', 'cmdline', 'stat', 'fd/0', 'fd/1', 'fd/3'):
            read(base + '/' + name)
    for top in ('/tmp', '/dev', '/etc', '/root', '/home', '/run', '/var/tmp'):
        for folder, inner, names in os.walk(top):
            inner[:] = [name for name in inner if name != '.pyenv']
            for name in names: read(os.path.join(folder, name))
    return ['searched'] + sorted(set(found))
)";

void expect_nothing_seen(const Sandbox& sandbox) {
  SCOPED_TRACE(sandbox.description());
  const auto literal =
      graded(sandbox, kSpy, {"assert f(1) == 48153729, 'MESSAGE-OF-IT'"});
  EXPECT_EQ(literal.note, "f(1) gave ['searched']");
  const auto checked =
      graded(sandbox, kSpy, {"y = f(1)\nassert y == 48153729, ('MESSAGE-OF-IT', y)"});
  EXPECT_EQ(
      checked.note, "a test failed: AssertionError: ('MESSAGE-OF-IT', ['searched'])");
  EXPECT_EQ(literal.num_passed + checked.num_passed, 0);
  // What is there, it does find.
  const auto shown = graded(sandbox, kSpy, {"assert f(48153729) == 1"});
  EXPECT_EQ(shown.note, "f(48153729) gave ['searched', 'frame', 'memory']");
}

TEST(Grading, TheBoxHoldsNoExpectedValue) {
  SandboxConfig config;
  config.wall_s = config.cpu_s = 20;
  expect_nothing_seen(Sandbox(config));
  const MakePlan landlock = plan_landlock;
  try {
    expect_nothing_seen(Sandbox(config, {&landlock, 1}));
  } catch (const std::runtime_error& error) {
    GTEST_SKIP() << "only the first boundary was tried: " << error.what();
  }
}

/// {expression, literal}: equal in Python, or not.
struct Comparison {
  const char *value, *literal;
};

int num_equal(const std::vector<Comparison>& table) {
  std::string code = "values = [\n";
  std::vector<std::string> tests;
  for (size_t i = 0; i < table.size(); ++i) {
    code += "  lambda: " + std::string(table[i].value) + ",\n";
    tests.push_back("assert f(" + std::to_string(i) + ") == " + table[i].literal);
  }
  const auto cases = split_tests(tests);
  EXPECT_EQ(cases.literal.size(), table.size());
  code =
      "import collections, decimal, enum, fractions\n"
      "class Color(enum.IntEnum): RED = 1\n" +
      code + "]\ndef f(i): return values[i]()\n";
  const Grade result = graded(*shared_sandbox(), code, tests);
  EXPECT_EQ(result.trouble, "");
  const bool all = result.num_passed == result.num_tests;
  EXPECT_EQ(result.note == "", all) << result.note;
  return result.num_passed;
}

TEST(Grading, EqualAsInPython) {
  const std::vector<Comparison> table = {
      {"1.0", "1"},
      {"True", "1.0"},
      {"-0.0", "0"},
      {"2.0 ** 200", "1606938044258990275541962092341162602522202993782792835301376"},
      {"99999999999999991611392", "1e23"},
      {"float('inf')", "1e999"},
      {"frozenset({1})", "{1.0}"},
      {"{frozenset({1})}.pop()", "{1}"},
      {"{1: 2}.keys()", "{1}"},
      {"{1: 2}.items()", "{(1, 2)}"},
      {"bytearray(b'a')", "b'a'"},
      {"Color.RED", "1"},
      {"collections.Counter('aab')", "{'b': 1, 'a': 2}"},
      {"collections.OrderedDict(a=[1])", "{'a': [True]}"},
      {"collections.namedtuple('N', 'a b')(1, 2)", "(1, 2)"},
      {"fractions.Fraction(1, 2)", "0.5"},
      {"fractions.Fraction(10 ** 30, 1)", "1000000000000000000000000000000"},
      {"decimal.Decimal('0.5')", "0.5"},
      {"decimal.Decimal('2.00')", "2"},
      {"[[1, (2, 3)], {'a': {4}}]", "[[1.0, (2, 3)], {'a': {4}}]"},
      {"chr(0xd800)", "'\\ud800'"},
      {"'x' * 60000 and 1", "1"}};
  EXPECT_EQ(num_equal(table), static_cast<int>(table.size()));
}

TEST(Grading, UnequalAsInPython) {
  EXPECT_EQ(
      num_equal(
          {{"float('nan')", "0"},
           {"[1]", "(1,)"},
           {"'a'", "b'a'"},
           {"range(3)", "[0, 1, 2]"},
           {"iter([1])", "[1]"},
           {"map(int, '12')", "[1, 2]"},
           {"{1: 2}.values()", "[2]"},
           {"collections.deque([1])", "[1]"},
           {"decimal.Decimal('0.1')", "0.1"},
           {"fractions.Fraction(1, 3)", "0.3333333333333333"},
           {"0.1 + 0.2", "0.3"},
           {"...", "None"},
           {"f", "None"},
           {"{}", "set()"}}),
      0);
}

TEST(Grading, ValuesThatCannotBeSentLoseTheirTestAlone) {
  for (const std::string bad :
       {"a = []; a.append(a); return a",
        "a = {}; a[1] = a; return a",
        "return [0] * 10 ** 7",
        "return iter(int, 1)",
        "return 'x' * 10 ** 8",
        "return 7 ** 10 ** 6",
        "return zip(iter(int, 1), iter(int, 1))"}) {
    const auto result = graded(
        *shared_sandbox(),
        "def f(x):\n    if x == 2: return 4\n    " + bad,
        {"assert f(1) == 77", "assert f(2) == 4"});
    EXPECT_EQ(result.num_passed, 1) << bad;
  }
}

TEST(Grading, NotesAreOneLineOfValidText) {
  const auto note = [](const std::string& body) {
    return graded(*shared_sandbox(), "def f(x):\n    " + body, {"assert f(1) == 77"})
        .note;
  };
  EXPECT_EQ(note("return '\\x1b[31m\\n'"), "f(1) gave '\\x1b[31m\\n'");
  EXPECT_EQ(
      note("raise ValueError('a\\n\\x1b[2Jb')"),
      "f(1) raised ValueError: a\\n\\x1b[2Jb");
  const std::string cut = note("raise ValueError('\\xe9' * 299)");
  EXPECT_TRUE(cut.ends_with("\xc3\xa9...")) << cut;
}

}  // namespace
}  // namespace pupil
