#include "reward/tests_reward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "reward/reward_support.h"

namespace pupil {
namespace {

Score score(const Task& task, const std::string& answer) {
  const Completion completion = make_completion(answer);
  const Sample sample{&task, &completion};
  return tests_reward(shared_sandbox(), 2)({&sample, 1})[0];
}

double value_of(const Task& task, const std::string& code) {
  const Score s = score(task, fenced(code));
  EXPECT_TRUE(s.value) << code << ": " << s.reason;
  return s.value.value_or(-1);
}

Task square_task() {
  return make_task(
      "square",
      {"assert square(0) == 0",
       "assert square(3) == 9",
       "assert square(-4) == 16",
       "assert square(1.5) == 2.25",
       "assert square(10**0) == 1"});
}

TEST(TestsReward, ShareOfTestsPassed) {
  const Task task = square_task();
  EXPECT_EQ(value_of(task, "def square(x):\n    return x * x"), 1.0);
  EXPECT_EQ(value_of(task, "def square(x):\n    return abs(x) * x"), 0.8);
  EXPECT_EQ(
      value_of(task, "def square(x):\n    return x if x < 2 and x >= 0 else 1/0"), 0.4);
  EXPECT_EQ(value_of(task, "def other(x):\n    return x * x"), 0.0);
  EXPECT_EQ(value_of(task, "raise ValueError('x')"), 0.0);
}

// HumanEval's form: the answer completes a file that begins so.
Task completing_task() {
  Task task = make_task(
      "unshift", {"def check(f):\n    assert f(shift(3)) == 3\n\ncheck(unshift)\n"});
  task.preamble = "BY = 5\ndef shift(x):\n    return x + BY\n\n";
  task.setup = task.preamble;
  task.signature = "def unshift(x):\n    \"\"\"Takes it back.\"\"\"\n";
  return task;
}

TEST(TestsReward, AnAnswerStandsBehindWhatItsTaskGives) {
  const Task task = completing_task();
  EXPECT_EQ(value_of(task, "def unshift(x):\n    return x - BY"), 1.0);
  EXPECT_EQ(value_of(task, "    return x - BY"), 1.0);
  EXPECT_EQ(score(task, "    return x - BY\n").value, 1.0);
  EXPECT_EQ(value_of(task, "return x - BY"), 0.0);
  EXPECT_EQ(value_of(task, "    return x + BY"), 0.0);
  EXPECT_EQ(score(task, "I do not know.").value, 0.0);
}

// The tests use the task's own, whatever the answer puts in its place.
TEST(TestsReward, AnAnswerCannotReplaceTheHelpersOfTheTests) {
  const Task task = completing_task();
  EXPECT_EQ(
      value_of(task, "def shift(x):\n    return x\ndef unshift(x):\n    return x"),
      0.0);
}

TEST(TestsReward, APreambleThatDoesNotRunHereIsNoAnswersFault) {
  Task task = completing_task();
  task.preamble = "import not_installed_here\n";
  auto result = score(task, fenced("def unshift(x):\n    return x"));
  EXPECT_FALSE(result.value);
  EXPECT_NE(result.reason.find("not_installed_here"), std::string::npos);
}

TEST(TestsReward, UnscoredAndZero) {
  Task task = square_task();
  EXPECT_EQ(score(task, "I do not know.").value, 0.0);
  EXPECT_EQ(score(task, "").value, 0.0);
  task.tests.clear();
  EXPECT_FALSE(score(task, fenced("def square(x): return x * x")).value);
}

TEST(TestsReward, ABoxThatDoesNotStartIsUnscored) {
  SandboxConfig config;
  config.memory_mb = 1;  // no interpreter starts in it
  config.unsafe = true;
  const Task task = square_task();
  const Completion completion =
      make_completion(fenced("def square(x):\n    return x * x"));
  const Sample sample{&task, &completion};
  const auto reward = tests_reward(std::make_shared<const Sandbox>(config), 1);
  const Score s = reward({&sample, 1})[0];
  EXPECT_FALSE(s.value);
  EXPECT_NE(s.reason, "");
}

TEST(TestsReward, ReasonsNameTheFirstFailureAndNoExpectedValue) {
  const Task task = make_task("f", {"assert f(2) == 424242"});
  const auto s = score(task, fenced("def f(x):\n    return [x, 'a']"));
  EXPECT_EQ(s.reason, "0 of 1 tests passed; f(2) gave [2, 'a']");
}

TEST(TestsReward, EarlierResultsSurviveACrashAHangAndAnExit) {
  const Task task = square_task();
  for (const std::string bad :
       {"import os; os._exit(0)",
        "import os; os.abort()",
        "raise SystemExit(0)",
        "while True: pass",
        "x = 9**9**9",
        "import time; time.sleep(100)",
        "def g(): g()\n    g()",
        "x = [0] * 10**10"}) {
    const double value = value_of(
        task, "def square(x):\n    if x == 1: \n        " + bad + "\n    return x * x");
    EXPECT_GE(value, 0.0) << bad;
    EXPECT_LE(value, 0.8) << bad;
  }
  EXPECT_EQ(
      value_of(task, "def square(x):\n    if x == 1: exit(0)\n    return x * x"), 0.8);
  EXPECT_EQ(
      value_of(task, "def square(x):\n    while x == 1: pass\n    return x * x"), 0.8);
}

TEST(TestsReward, PrintsAndArgumentsThatAreChangedDoNoHarm) {
  const Task task = make_task(
      "f", {"assert f([1, 2]) == 3", "assert f([1, 2]) == 3", "assert f([]) == 0"});
  EXPECT_EQ(
      value_of(
          task,
          "print('V 3\\ni3;' * 100)\ndef f(x):\n    print('V 3\\ni3;')\n"
          "    s = sum(x)\n    x.clear()\n    return s"),
      1.0);
}

// Tampering: none of these knows the answers, and none may be paid.
const char* kTampering[] = {
    "class A:\n    def __eq__(self, o): return True\n    def __ne__(self, o): return "
    "False\n"
    "    def __hash__(self): return 0\n    def __bool__(self): return True\n"
    "def square(x): return A()",
    "class A(int):\n    def __eq__(self, o): return True\n    def __hash__(self): "
    "return 0\n"
    "def square(x): return A(77)",
    "class A(list):\n    def __eq__(self, o): return True\n"
    "def square(x): return A([77])",
    "import sys\nsys.exit(0)",
    "import os\nos._exit(0)",
    "raise SystemExit(0)",
    "def square(x):\n    import os\n    os._exit(0)",
    "import builtins\nbuiltins.AssertionError = Exception\ndef square(x): return 77",
    "import builtins\nbuiltins.isinstance = lambda *a: True\ndef square(x): return 77",
    "import sys\ndef square(x):\n    f = sys._getframe()\n    while f:\n"
    "        for name, v in list(f.f_locals.items()):\n"
    "            if 'expected' in name: return v\n        f = f.f_back\n    return 77",
    "import gc\ndef square(x):\n    for o in gc.get_objects():\n"
    "        if isinstance(o, dict) and 'expected' in o: return o['expected']\n    "
    "return 77",
    "import sys\ndef trace(*a): return trace\nsys.settrace(trace)\ndef square(x): "
    "return 77",
    "import atexit\natexit.register(print, 'V 2\\ni0;')\ndef square(x): return 77",
    "import os\nfor fd in range(3, 20):\n    try: os.write(fd, b'V 3\\ni0;\\nP 0\\n' * "
    "9)\n"
    "    except OSError: pass\ndef square(x): return 77",
    "import sys\nm = sys.modules['__main__']\nfor i in range(9): m.send('P', b'')\n"
    "def square(x): return 77",
    "import sys\nm = sys.modules['__main__']\nm.encode = lambda *a: b'T'\n"
    "def square(x): return 77",
    "import threading, os, time\ndef f():\n    while True:\n"
    "        for fd in range(3, 9):\n            try: os.write(fd, b'P 0\\n')\n"
    "            except OSError: pass\n"
    "threading.Thread(target=f, daemon=True).start()\ndef square(x): return 77",
    "import os\nif os.fork() == 0:\n    print('all tests passed')\n    os._exit(0)\n"
    "def square(x): return 77",
    "import time\ntime.time = time.perf_counter = lambda: 0\ndef square(x): return 77",
    "import signal\nfor s in range(1, 64):\n    try: signal.signal(s, signal.SIG_IGN)\n"
    "    except (OSError, ValueError): pass\ndef square(x): return 77",
    "print('5 of 5 tests passed')\ndef square(x): return float('nan')",
    "def square(x):\n    return range(x)",
    "def run_tests(*a): return True\ndef check(*a): return True\nsquare = check",
    "import sys\nsys.modules['unittest'] = sys.modules['pytest'] = None\n"
    "def square(x): raise AssertionError",
    // 36: more ways to end well
    "import ctypes\nctypes.CDLL(None).quick_exit(0)",
    "import unittest\nraise unittest.SkipTest('done')",
    "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\ndef square(x): return "
    "77",
    "import threading, os\nthreading.Timer(0.01, os._exit, (0,)).start()\n"
    "def square(x):\n    import time\n    time.sleep(0.2)\n    return 77",
    // 37: values that claim to be any other
    "class A(str):\n    def __eq__(self, o): return True\n    __hash__ = str.__hash__\n"
    "def square(x): return A('9')",
    "class A(dict):\n    def __eq__(self, o): return True\n"
    "def square(x): return A({1: 2})",
    // 38 and 39: the grader's own parts
    "import sys\nm = sys.modules['__main__']\nm.decode = lambda d: ((), {})\n"
    "def square(x): return 77",
    "import sys, inspect\ndef square(x):\n"
    "    return next((v for f in inspect.stack() for v in f.frame.f_locals.values()\n"
    "                 if type(v) in (int, float) and v > 4), 77)",
    "open('/tmp/conftest.py', 'w').write('import os; os._exit(0)')\n"
    "def square(x): return 77",
    // 40: verdicts, made up
    "print('P 0\\n' * 50, flush=True)\nprint('all tests passed')\n"
    "def square(x): return '{\"passed\": true}'",
    "import sys\nsys.stdout.write('M 4\\nt2:i9;')\ndef square(x): return 77",
    // 37: objects that say yes to everything
    "class A:\n    def __getattr__(self, n): return lambda *a: True\n"
    "def square(x): return A()",
    "class M(type):\n    def __eq__(c, o): return True\n    __hash__ = type.__hash__\n"
    "class A(metaclass=M): pass\ndef square(x): return A",
    "class A(float):\n    def __eq__(self, o): return True\n    def __add__(self, o): "
    "return self\n    def __str__(self): return '144'\n    __hash__ = None\n"
    "def square(x): return A(77)",
    // 42: good where nobody looks
    "import os\nif os.path.exists('/etc/passwd'):\n    def square(x): return x * x\n"
    "else:\n    def square(x): return 77",
    // 43: what the prompt shows, by heart
    "def square(x): return {5: 25, 6: 36}.get(x, 77)",
};

// 34: a reason is one line of text without a terminal's commands.
TEST(TestsReward, ReasonsBearNoCommandsForATerminal) {
  const Task task = make_task("f", {"assert f(1) == 2"});
  for (const char* code :
       {"def f(x):\n    raise ValueError('\\x1b[2J\\n[info] reward 1.0\\r')",
        "def f(x):\n    return '\\x1b]0;x\\x07\\n1 of 1 tests passed'",
        "raise KeyError('\\x9b2J\\u202e')"}) {
    const Score s = score(task, fenced(code));
    EXPECT_EQ(s.value, 0.0);
    for (const unsigned char c : s.reason) EXPECT_GE(c, 0x20) << s.reason;
  }
}

TEST(TestsReward, TamperingIsNotPaid) {
  Task task = square_task();
  task.tests = {
      "assert square(3) == 9",
      "assert square(-4) == 16",
      "assert square(1.5) == 2.25",
      "assert square(12) == 144"};
  Task checked = task;  // the same through a checker
  checked.tests = {
      "y = 3\nassert square(y) == 9",
      "assert [square(4)] == [16]",
      "assert square(1.5) + 1 == 3.25",
      "assert str(square(12)) == '144'"};
  for (const char* code : kTampering) {
    EXPECT_EQ(value_of(task, code), 0.0) << code;
    EXPECT_EQ(value_of(checked, code), 0.0) << code;
  }
}

TEST(TestsReward, OtherTestsRunInAChecker) {
  const Task task = make_task(
      "f",
      {"assert f(2) == 4",
       "assert sorted([f(3), f(1)]) == [2, 6]",
       "assert f(2)",
       "for i in range(20):\n    assert f(i) == 2 * i",
       "try:\n    f('a', 'b')\n    assert False\nexcept TypeError:\n    pass",
       "assert is_even(f(7))",
       "import math\nassert math.isclose(f(0.1), 0.2)"},
      "def is_even(n):\n    return n % 2 == 0");
  EXPECT_EQ(value_of(task, "def f(x):\n    return 2 * x"), 1.0);
  EXPECT_EQ(
      score(task, fenced("def f(x):\n    return 4")).reason.substr(0, 8), "4 of 7 t");
}

TEST(TestsReward, ArgumentsChangedInPlaceComeBack) {
  const Task task = make_task("f", {"a = [3, 1, 2]\nf(a)\nassert a == [1, 2, 3]"});
  EXPECT_EQ(value_of(task, "def f(x):\n    x.sort()"), 1.0);
  EXPECT_EQ(value_of(task, "def f(x):\n    sorted(x)"), 0.0);
}

TEST(TestsReward, ATestThatCannotBeAskedSaysNothing) {
  Task task = make_task("f", {"assert f(lambda x: x + 1, 1) == 2"});
  const std::string code = fenced("def f(g, x):\n    return g(x)");
  EXPECT_FALSE(score(task, code).value);
  task.tests.push_back("assert f(1, 2) == 3");
  EXPECT_EQ(score(task, code).value, 0.0);
}

TEST(TestsReward, TheCheckerOutlivesAHangingStudent) {
  const Task task = make_task(
      "f", {"assert [f(1)] == [1]", "assert [f(2)] == [2]", "assert [f(3)] == [3]"});
  const auto code = "def f(x):\n    while x == 2: pass\n    return x";
  EXPECT_NEAR(value_of(task, code), 2.0 / 3, 1e-9);
}

TEST(TestsReward, ScoresStayWithTheirSamples) {
  const Task task = make_task(
      "f",
      {"assert f(0) == 0", "assert f(1) == 1", "assert f(2) == 2", "assert f(3) == 3"});
  std::vector<Completion> completions(12);
  std::vector<Sample> samples;
  for (int i = 0; i < 12; ++i) {
    const int correct = (i * 7) % 5;  // how many of the four are right
    completions[i].text = fenced(
        "import time\ntime.sleep(" + std::to_string((11 - i) % 4 * 0.05) +
        ")\ndef f(x):\n    return x if x < " + std::to_string(correct) + " else 99");
    samples.push_back({&task, &completions[i]});
  }
  const auto scores = tests_reward(shared_sandbox(), 4)(samples);
  for (int i = 0; i < 12; ++i) EXPECT_EQ(scores[i].value, (i * 7) % 5 / 4.0) << i;
}

TEST(TestsReward, CorrectProgramsArePaid) {
  for (const auto& [task, code] : correct_programs()) {
    const Score s = score(task, fenced(code));
    EXPECT_EQ(s.value, 1.0) << task.entry_point << ": " << s.reason;
  }
}

}  // namespace
}  // namespace pupil
