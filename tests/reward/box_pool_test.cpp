#include "reward/box_pool.h"

#include <gtest/gtest.h>

#include <set>

#include "reward/grading.h"
#include "reward/reward_support.h"

namespace pupil {
namespace {

Grade graded(BoxPool& pool, const std::string& code) {
  const Boxes boxes{pool.sandbox(), [&](const Program& p) { return pool.take(p); }};
  return grade(
      boxes,
      {.code = code,
       .entry_point = "f",
       .setup = "",
       .tests = split_tests({"assert f(2) == 4", "assert [f(3)] == [6]"}),
       .order_key = 1});
}

TEST(BoxPool, GradesAsFreshBoxesDo) {
  BoxPool pool(shared_sandbox(), 2);
  for (int i = 0; i < 6; ++i) {
    const auto grade = graded(pool, "def f(x):\n    return 2 * x");
    EXPECT_EQ(grade.num_passed, 2) << grade.note << grade.trouble;
    EXPECT_STREQ(grade.result_class(), "ok");
  }
}

TEST(BoxPool, ABoxIsForOneProgram) {
  BoxPool pool(shared_sandbox(), 2);
  const std::string leave =
      "open('/tmp/left', 'w').write('x')\ndef f(x):\n    return 2 * x";
  const std::string look =
      "import os\nseen = os.path.exists('/tmp/left')\n"
      "def f(x):\n    return 0 if seen else 2 * x";
  for (int i = 0; i < 3; ++i) {
    graded(pool, leave);
    EXPECT_EQ(graded(pool, look).num_passed, 2);
  }
}

TEST(BoxPool, BoxesThatDiedWhileTheyWaitedAreReplaced) {
  BoxPool pool(shared_sandbox(), 2);
  const Program dying{.source = "raise SystemExit(0)\n", .input = ""};
  pool.prepare(dying);
  for (int i = 0; i < 4; ++i) {
    Box box = pool.take(dying);
    EXPECT_EQ(box.finish().outcome == ExecutionResult::Outcome::out_of_memory, false);
  }
  EXPECT_EQ(graded(pool, "def f(x):\n    return 2 * x").num_passed, 2);
}

TEST(BoxPool, ACompiledProgramIsTheSameProgram) {
  const Program program{.source = "print(sum(range(5)))\n", .input = ""};
  const Program fast = compiled(*shared_sandbox(), program);
  EXPECT_NE(fast.source, program.source);
  EXPECT_EQ(shared_sandbox()->run(fast).output, "10\n");
}

TEST(BoxPool, AProgramThatDoesNotCompileStaysAsItIs) {
  const Program program{.source = "def (", .input = ""};
  EXPECT_EQ(compiled(*shared_sandbox(), program).source, program.source);
}

}  // namespace
}  // namespace pupil
