// Whole programs in every language that this machine has.

#include "reward/program_grading.h"

#include <gtest/gtest.h>

#include <optional>
#include <span>

#include "reward/reward_support.h"
#include "reward/sandbox_boundary.h"
#include "reward/tests_reward.h"
#include "reward/toolchain.h"

namespace pupil {
namespace {

// Compilers need more than the small boxes have.
std::shared_ptr<const Sandbox> workshop() {
  static const auto sandbox = [] {
    SandboxConfig config;
    config.wall_s = 8;
    config.cpu_s = 4;
    config.output_kb = 32;
    return std::make_shared<const Sandbox>(config);
  }();
  return sandbox;
}

RewardFn& reward() {
  static RewardFn function = tests_reward(workshop(), 2);
  return function;
}

Score score(const Task& task, const std::string& answer) {
  const Completion completion = make_completion(answer);
  const Sample sample{&task, &completion};
  return reward()({&sample, 1})[0];
}

Task sum_task(const std::string& language) {
  Task task;
  task.id = "sum in " + language;
  task.language = language;
  task.io_tests = {{"1 2\n", "3\n"}, {"10 -4\n", "6\n"}, {"0 0\n", "0\n"}};
  return task;
}

struct Sums {
  Language language;
  const char *right, *wrong, *broken;
};

const Sums kSums[] = {
    {Language::python,
     "a, b = map(int, input().split())\nprint(a + b)",
     "a, b = map(int, input().split())\nprint(a - b)",
     "print(("},
    {Language::javascript,
     "const [a, b] = require('fs').readFileSync(0, 'utf8').split(' ').map(Number);\n"
     "console.log(a + b);",
     "const [a, b] = require('fs').readFileSync(0, 'utf8').split(' ').map(Number);\n"
     "console.log(a - b);",
     "console.log((;"},
    {Language::cpp,
     "#include <iostream>\nint main() { int a, b; std::cin >> a >> b;\n"
     "std::cout << a + b << std::endl; }",
     "#include <iostream>\nint main() { int a, b; std::cin >> a >> b;\n"
     "std::cout << a - b << std::endl; }",
     "int main() { return x; }"},
    {Language::rust,
     "use std::io::*;\nfn main() { let mut s = String::new();\n"
     "stdin().read_to_string(&mut s).unwrap();\n"
     "let n: i32 = s.split_whitespace().map(|x| x.parse::<i32>().unwrap()).sum();\n"
     "println!(\"{n}\"); }",
     "use std::io::*;\nfn main() { let mut s = String::new();\n"
     "stdin().read_to_string(&mut s).unwrap();\n"
     "let n: i32 = s.split_whitespace().map(|x| x.parse::<i32>().unwrap())"
     ".fold(0, |a, b| b - a);\nprintln!(\"{}\", 1000 + n); }",
     "fn main() { x }"},
    {Language::bash, "read a b\necho $((a + b))", "read a b\necho $((a - b))", "if ("},
};

class Programs : public ::testing::TestWithParam<Sums> {};

TEST_P(Programs, AreRunOnEveryPair) {
  const auto& sums = GetParam();
  const Boxes boxes = fresh_boxes(*workshop());
  const std::string missing = workshop()->toolchain(sums.language).missing;
  if (!missing.empty()) GTEST_SKIP() << missing;
  ASSERT_EQ(tools_trouble(boxes, sums.language), "");
  const std::string name = name_of(sums.language);
  const Task task = sum_task(name);
  const std::string fence = "```" + name + "\n";
  const auto right = score(task, fence + sums.right + "\n```");
  EXPECT_EQ(right.value, 1.0) << right.reason;
  const auto wrong = score(task, fence + sums.wrong + "\n```");
  ASSERT_TRUE(wrong.value) << wrong.reason;
  EXPECT_LT(*wrong.value, 0.5) << wrong.reason;
  const auto broken = score(task, fence + sums.broken + "\n```");
  EXPECT_EQ(broken.value, 0.0) << broken.reason;
  // The fence decides where the task leaves the language open.
  EXPECT_EQ(score(sum_task("any"), fence + sums.right + "\n```").value, 1.0);
}

INSTANTIATE_TEST_SUITE_P(
    Languages, Programs, ::testing::ValuesIn(kSums), [](const auto& info) {
      const std::string name = name_of(info.param.language);
      return name == "c++" ? "cpp" : name;
    });

TEST(ProgramGrading, AnUnknownLanguageIsUnscored) {
  const Score s = score(sum_task("cobol"), "```cobol\nSTOP RUN.\n```");
  EXPECT_FALSE(s.value);
  EXPECT_NE(s.reason.find("cobol"), std::string::npos);
}

TEST(ProgramGrading, ClassesOfResults) {
  const Boxes boxes = fresh_boxes(*workshop());
  Task task;
  task.io_tests = {{"", "1\n"}};
  auto result = [&](const char* code) {
    return std::string(
        grade_program(boxes, {Language::python, code, &task, 1}).result_class());
  };
  EXPECT_EQ(result("print(1)"), "ok");
  EXPECT_EQ(result("print(2)"), "wrong");
  EXPECT_EQ(result("raise SystemExit(3)"), "crash");
  EXPECT_EQ(result("import ctypes; ctypes.string_at(0)"), "crash");
  EXPECT_EQ(result("while True: pass"), "timeout");
  EXPECT_EQ(result("import time\ntime.sleep(100)"), "timeout");
  EXPECT_EQ(result("while True: print('x' * 1000)"), "output-limit");
  SandboxConfig config;
  config.memory_mb = 1;
  config.unsafe = true;
  const Sandbox none(config);
  const auto grade =
      grade_program(fresh_boxes(none), {Language::python, "print(1)", &task, 1});
  EXPECT_STREQ(grade.result_class(), "infra-error");
}

TEST(ProgramGrading, WhiteSpaceAtTheEndDoesNotCount) {
  EXPECT_TRUE(same_output("1 \n2\n\n", "1\n2"));
  EXPECT_TRUE(same_output("", "\n"));
  EXPECT_TRUE(same_output("a\r\nb", "a\nb\n"));
  EXPECT_FALSE(same_output("1\n\n2", "1\n2"));
  EXPECT_FALSE(same_output(" 1", "1"));
  EXPECT_FALSE(same_output("1\n2\n3", "1\n2"));
}

TEST(ProgramGrading, TheUsersCommandTestsAFunctionThatIsElsewhere) {
  if (!workshop()->has_scratch_folder()) GTEST_SKIP() << workshop()->description();
  Task task = make_task("double", {});
  task.test_files = {
      {"test_double.py",
       "import unittest\nfrom solution import double\n"
       "class T(unittest.TestCase):\n"
       "    def test(self):\n        self.assertEqual(double(4), 8)\n"
       "        self.assertEqual(double('a'), 'aa')\n"
       "unittest.main()\n"}};
  task.test_command = {"python3", "test_double.py"};
  const auto right = score(task, fenced("def double(x):\n    return x * 2"));
  EXPECT_EQ(right.value, 1.0) << right.reason;
  EXPECT_EQ(score(task, fenced("def double(x):\n    return x")).value, 0.0);
  for (const char* tampering :
       {"import os\nos._exit(0)",
        "import os\ndef double(x):\n    os._exit(0)",
        "raise SystemExit(0)",
        "import unittest, sys\nunittest.main = lambda *a: None\n"
        "def double(x):\n    sys.exit(0)",
        "class A:\n    def __eq__(self, o): return True\n"
        "def double(x):\n    return A()"}) {
    EXPECT_EQ(score(task, fenced(tampering)).value, 0.0) << tampering;
  }
}

TEST(ProgramGrading, TheUsersCommandTestsAProgramThatIsElsewhere) {
  if (!workshop()->has_scratch_folder()) GTEST_SKIP() << workshop()->description();
  Task task;
  task.id = "echo";
  task.language = "bash";
  task.test_files = {{"test.sh", "[ \"$(echo 3 4 | ./solution)\" = 7 ] || exit 1\n"}};
  task.test_command = {"bash", "test.sh"};
  const auto right = score(task, "```bash\nread a b\necho $((a + b))\n```");
  EXPECT_EQ(right.value, 1.0) << right.reason;
  EXPECT_EQ(score(task, "```bash\necho 8\n```").value, 0.0);
  EXPECT_EQ(score(task, "```bash\nexit 0\n```").value, 0.0);
  task.test_command = {"no-such-tool"};
  const auto absent = score(task, "```bash\necho 8\n```");
  EXPECT_FALSE(absent.value);
  EXPECT_NE(absent.reason.find("no-such-tool"), std::string::npos) << absent.reason;
}

// Without a folder to write in an interpreter gets the code as an argument.
TEST(ProgramGrading, LandlockRunsWhatNeedsNoCompiler) {
  const MakePlan plan = plan_landlock;
  std::optional<Sandbox> sandbox;
  try {
    sandbox.emplace(SandboxConfig{}, std::span(&plan, 1));
  } catch (const std::runtime_error& error) {
    GTEST_SKIP() << error.what();
  }
  const Boxes boxes = fresh_boxes(*sandbox);
  for (const Language language :
       {Language::python, Language::javascript, Language::bash}) {
    if (!sandbox->toolchain(language).missing.empty()) continue;
    EXPECT_EQ(tools_trouble(boxes, language), "") << name_of(language);
  }
  EXPECT_NE(tools_trouble(boxes, Language::cpp).find("bubblewrap"), std::string::npos);
}

// Number 1 of the attacks, and 44: what compilers are made to do.
TEST(ProgramGrading, AttacksOfOtherLanguagesAreContained) {
  struct Case {
    Language language;
    const char* code;
  };
  const Case cases[] = {
      {Language::bash, ":(){ :|:& };:; sleep 1; cat /etc/shadow && echo HOLE"},
      {Language::bash, "exec 3<>/dev/tcp/127.0.0.1/80 && echo HOLE"},
      {Language::javascript,
       "try { require('fs').readFileSync('/etc/passwd'); console.log('HOLE'); } "
       "catch (e) {}"},
      {Language::javascript, "for (const a = []; ;) a.push(new Array(1e5).fill(1));"},
      {Language::cpp, "#include \"/dev/zero\"\nint main() {}"},
      {Language::cpp, "#include \"/root/.bashrc\"\nint main() {}"},
      {Language::cpp, "static char a[1ull << 32] = {1};\nint main() { return a[9]; }"},
      {Language::cpp,
       "template <int N> struct A { static const int v = A<N + 1>::v + A<N + 2>::v; "
       "};\n"
       "int main() { return A<0>::v; }"},
      {Language::cpp, "asm(\".incbin \\\"/etc/shadow\\\"\");\nint main() {}"},
      {Language::cpp,
       "#include <unistd.h>\n__attribute__((constructor)) void f() { _exit(0); }\n"
       "int main() {}"},
      {Language::rust,
       "fn main() { println!(\"HOLE {}\", include_str!(\"/etc/shadow\")); }"},
  };
  const Boxes boxes = fresh_boxes(*workshop());
  Task task;
  task.io_tests = {{"", "HOLE"}};
  for (const auto& [language, code] : cases) {
    if (!workshop()->toolchain(language).missing.empty()) continue;
    const auto grade = grade_program(boxes, {language, code, &task, 1});
    EXPECT_EQ(grade.num_passed, 0) << code;
    EXPECT_EQ(grade.note.find("HOLE"), std::string::npos) << code << grade.note;
    EXPECT_EQ(grade.trouble, "") << code;
  }
}

}  // namespace
}  // namespace pupil
